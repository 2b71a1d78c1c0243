"""Instance profiles: the name under which a container instance carries a role."""

from collections.abc import Mapping
from typing import Final

from portside.api.iam.error import exists, in_use, no_such, quota
from portside.api.iam.page import page
from portside.api.iam.role import find_role, role_shape
from portside.api.iam.tag import merge, parse_tags, wire_tags, without
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain.clock import Clock, Ids
from portside.domain.iam import InstanceProfile
from portside.domain.record import replace
from portside.domain.table import INSTANCE_PROFILE, ROLE
from portside.store.interface import ABSENT, Delete, Put, Store

ROLES_MAX: Final = 1
"""Roles of an instance profile: AWS's quota, which can not be raised."""


class InstanceProfileHandlers:
    """The operations on instance profiles."""

    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "CreateInstanceProfile": self.create,
            "GetInstanceProfile": self.get,
            "ListInstanceProfiles": self.list,
            "ListInstanceProfilesForRole": self.list_for_role,
            "AddRoleToInstanceProfile": self.add_role,
            "RemoveRoleFromInstanceProfile": self.remove_role,
            "DeleteInstanceProfile": self.delete,
            "TagInstanceProfile": self.tag,
            "UntagInstanceProfile": self.untag,
            "ListInstanceProfileTags": self.list_tags,
        }

    def create(self, context: RequestContext, params: Params) -> Result:
        name = params["InstanceProfileName"]
        if self._find(context.account, name) is not None:
            raise exists(f"Instance Profile {name} already exists.")
        profile = InstanceProfile(
            account=context.account,
            name=name,
            id="AIPA" + self._ids.hex(17).upper(),
            path=params.get("Path", "/"),
            tags=merge((), parse_tags(params.get("Tags", ()))),
            created_at=self._clock.now().replace(microsecond=0),
        )
        self._store.transact(Put(INSTANCE_PROFILE, profile, expect=ABSENT))
        return {"InstanceProfile": self._shape(profile)}

    def get(self, context: RequestContext, params: Params) -> Result:
        return {"InstanceProfile": self._shape(self._profile(context, params))}

    def list(self, context: RequestContext, params: Params) -> Result:
        prefix = params.get("PathPrefix", "/")
        profiles = [each for each in self._profiles(context.account) if each.path.startswith(prefix)]
        return page(params, "InstanceProfiles", profiles, lambda each: each.name, self._listed)

    def list_for_role(self, context: RequestContext, params: Params) -> Result:
        role = find_role(self._store, context.account, params["RoleName"])
        if role is None:
            raise no_such("role", params["RoleName"])
        profiles = [each for each in self._profiles(context.account) if each.role == role.name]
        return page(params, "InstanceProfiles", profiles, lambda each: each.name, self._listed)

    def add_role(self, context: RequestContext, params: Params) -> None:
        profile = self._profile(context, params)
        role = find_role(self._store, context.account, params["RoleName"])
        if role is None:
            raise no_such("role", params["RoleName"])
        if profile.role is not None:
            raise quota(f"Cannot exceed quota for InstanceSessionsPerInstanceProfile: {ROLES_MAX}")
        self._store.transact(Put(INSTANCE_PROFILE, replace(profile, role=role.name)))

    def remove_role(self, context: RequestContext, params: Params) -> None:
        profile = self._profile(context, params)
        if profile.role is None or profile.role.lower() != params["RoleName"].lower():
            raise no_such("role", params["RoleName"])
        self._store.transact(Put(INSTANCE_PROFILE, replace(profile, role=None)))

    def delete(self, context: RequestContext, params: Params) -> None:
        profile = self._profile(context, params)
        if profile.role is not None:
            raise in_use("Cannot delete entity, must remove roles from instance profile first.")
        self._store.transact(Delete(INSTANCE_PROFILE, INSTANCE_PROFILE.key(profile)))

    def tag(self, context: RequestContext, params: Params) -> None:
        profile = self._profile(context, params)
        tags = merge(profile.tags, parse_tags(params["Tags"]))
        self._store.transact(Put(INSTANCE_PROFILE, replace(profile, tags=tags)))

    def untag(self, context: RequestContext, params: Params) -> None:
        profile = self._profile(context, params)
        self._store.transact(Put(INSTANCE_PROFILE, replace(profile, tags=without(profile.tags, params["TagKeys"]))))

    def list_tags(self, context: RequestContext, params: Params) -> Result:
        tags = sorted(wire_tags(self._profile(context, params).tags), key=lambda tag: tag["Key"])
        return page(params, "Tags", tags, lambda tag: tag["Key"], lambda tag: tag)

    def _profiles(self, account: str) -> tuple[InstanceProfile, ...]:
        return tuple(self._store.scan(INSTANCE_PROFILE, f"{account}/"))

    def _find(self, account: str, name: str) -> InstanceProfile | None:
        """By name; names differ by more than case."""
        return next((each for each in self._profiles(account) if each.name.lower() == name.lower()), None)

    def _profile(self, context: RequestContext, params: Params) -> InstanceProfile:
        name = params["InstanceProfileName"]
        profile = self._find(context.account, name)
        if profile is None:
            raise ServiceError("NoSuchEntityException", f"Instance Profile {name} cannot be found.", 404)
        return profile

    def _listed(self, profile: InstanceProfile) -> Result:
        """A list leaves the tags out."""
        shape = self._shape(profile)
        shape.pop("Tags", None)
        return shape

    def _shape(self, profile: InstanceProfile) -> Result:
        role = self._store.get(ROLE, f"{profile.account}/{profile.role}") if profile.role is not None else None
        shape: Result = {
            "Path": profile.path,
            "InstanceProfileName": profile.name,
            "InstanceProfileId": profile.id,
            "Arn": f"arn:aws:iam::{profile.account}:instance-profile{profile.path}{profile.name}",
            "CreateDate": profile.created_at,
            "Roles": [role_shape(role)] if role is not None else [],
        }
        if profile.tags:
            shape["Tags"] = wire_tags(profile.tags)
        return shape
