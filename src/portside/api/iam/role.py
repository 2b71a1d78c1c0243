"""Roles, the policies in them, and those attached to them."""

import re
from collections.abc import Mapping

from portside.api.iam.document import check_identity_policy, check_trust_policy, encoded
from portside.api.iam.error import exists, in_use, no_such, no_such_policy, quota
from portside.api.iam.page import page
from portside.api.iam.policy import find_policy, is_aws_managed
from portside.api.iam.tag import merge, parse_tags, wire_tags, without
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain.clock import Clock, Ids
from portside.domain.iam import Role
from portside.domain.record import replace
from portside.domain.session import role_arn
from portside.domain.table import INSTANCE_PROFILE, ROLE
from portside.store.interface import ABSENT, Delete, Put, Store

MAX_ATTACHED = 10
"""Managed policies per role: AWS's default quota."""
MAX_INLINE_CHARACTERS = 10_240
"""Characters of all inline policies of a role, white space not counted: AWS's quota."""

_SPACE = re.compile(r"\s+")


class RoleHandlers:
    """The operations on roles."""

    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "CreateRole": self.create_role,
            "GetRole": self.get_role,
            "ListRoles": self.list_roles,
            "UpdateRole": self.update_role,
            "UpdateAssumeRolePolicy": self.update_assume_role_policy,
            "DeleteRole": self.delete_role,
            "AttachRolePolicy": self.attach_role_policy,
            "DetachRolePolicy": self.detach_role_policy,
            "ListAttachedRolePolicies": self.list_attached_role_policies,
            "PutRolePolicy": self.put_role_policy,
            "GetRolePolicy": self.get_role_policy,
            "DeleteRolePolicy": self.delete_role_policy,
            "ListRolePolicies": self.list_role_policies,
            "TagRole": self.tag_role,
            "UntagRole": self.untag_role,
            "ListRoleTags": self.list_role_tags,
        }

    def create_role(self, context: RequestContext, params: Params) -> Result:
        name = params["RoleName"]
        if "PermissionsBoundary" in params:
            raise ServiceError("NotImplemented", "Portside does not implement permissions boundaries of roles.", 501)
        if find_role(self._store, context.account, name) is not None:
            raise exists(f"Role with name {name} already exists.")
        role = Role(
            account=context.account,
            name=name,
            id="AROA" + self._ids.hex(17).upper(),
            path=params.get("Path", "/"),
            assume_role_policy=check_trust_policy(params["AssumeRolePolicyDocument"]),
            description=params.get("Description"),
            max_session_duration_s=params.get("MaxSessionDuration", 3600),
            tags=merge((), parse_tags(params.get("Tags", ()))),
            # IAM's times have no fraction.
            created_at=self._clock.now().replace(microsecond=0),
        )
        self._store.transact(Put(ROLE, role, expect=ABSENT))
        return {"Role": role_shape(role)}

    def get_role(self, context: RequestContext, params: Params) -> Result:
        return {"Role": role_shape(self._role(context, params))}

    def list_roles(self, context: RequestContext, params: Params) -> Result:
        prefix = params.get("PathPrefix", "/")
        roles = [role for role in self._store.scan(ROLE, f"{context.account}/") if role.path.startswith(prefix)]

        def listed(role: Role) -> Result:
            shape = role_shape(role)
            # A list leaves out what takes AWS a further look-up.
            shape.pop("Tags", None)
            shape.pop("RoleLastUsed", None)
            return shape

        return page(params, "Roles", roles, lambda role: role.name, listed)

    def update_role(self, context: RequestContext, params: Params) -> Result:
        role = self._role(context, params)
        self._put(
            replace(
                role,
                description=params.get("Description", role.description),
                max_session_duration_s=params.get("MaxSessionDuration", role.max_session_duration_s),
            )
        )
        return {}

    def update_assume_role_policy(self, context: RequestContext, params: Params) -> None:
        role = self._role(context, params)
        self._put(replace(role, assume_role_policy=check_trust_policy(params["PolicyDocument"])))

    def delete_role(self, context: RequestContext, params: Params) -> None:
        role = self._role(context, params)
        if role.inline_policies:
            raise in_use("Cannot delete entity, must delete policies first.")
        if role.attached_policy_arns:
            raise in_use("Cannot delete entity, must detach all policies first.")
        if any(each.role == role.name for each in self._store.scan(INSTANCE_PROFILE, f"{context.account}/")):
            raise in_use("Cannot delete entity, must remove roles from instance profile first.")
        self._store.transact(Delete(ROLE, ROLE.key(role)))

    # Attached policies

    def attach_role_policy(self, context: RequestContext, params: Params) -> None:
        role, arn = self._role(context, params), params["PolicyArn"]
        if not is_aws_managed(arn) and find_policy(self._store, context.account, arn) is None:
            raise no_such_policy(arn)
        if arn in role.attached_policy_arns:
            return
        if len(role.attached_policy_arns) >= MAX_ATTACHED:
            raise quota(f"Cannot exceed quota for PoliciesPerRole: {MAX_ATTACHED}")
        self._put(replace(role, attached_policy_arns=(*role.attached_policy_arns, arn)))

    def detach_role_policy(self, context: RequestContext, params: Params) -> None:
        role, arn = self._role(context, params), params["PolicyArn"]
        if arn not in role.attached_policy_arns:
            raise ServiceError("NoSuchEntityException", f"Policy {arn} was not found.", 404)
        self._put(replace(role, attached_policy_arns=tuple(one for one in role.attached_policy_arns if one != arn)))

    def list_attached_role_policies(self, context: RequestContext, params: Params) -> Result:
        prefix = params.get("PathPrefix", "/")
        attached = sorted(
            arn
            for arn in self._role(context, params).attached_policy_arns
            if ("/" + arn.partition("policy/")[2]).startswith(prefix)
        )
        return page(
            params,
            "AttachedPolicies",
            attached,
            lambda arn: arn,
            lambda arn: {"PolicyName": arn.rpartition("/")[2], "PolicyArn": arn},
        )

    # Inline policies

    def put_role_policy(self, context: RequestContext, params: Params) -> None:
        role = self._role(context, params)
        policies = {**role.inline_policies, params["PolicyName"]: check_identity_policy(params["PolicyDocument"])}
        if sum(len(_SPACE.sub("", text)) for text in policies.values()) > MAX_INLINE_CHARACTERS:
            raise quota(f"Maximum policy size of {MAX_INLINE_CHARACTERS} bytes exceeded for role {role.name}")
        self._put(replace(role, inline_policies=policies))

    def get_role_policy(self, context: RequestContext, params: Params) -> Result:
        role, name = self._role(context, params), params["PolicyName"]
        if name not in role.inline_policies:
            raise no_such("role policy", name)
        document = encoded(role.inline_policies[name])
        return {"RoleName": role.name, "PolicyName": name, "PolicyDocument": document}

    def delete_role_policy(self, context: RequestContext, params: Params) -> None:
        role, name = self._role(context, params), params["PolicyName"]
        if name not in role.inline_policies:
            raise no_such("role policy", name)
        self._put(
            replace(role, inline_policies={key: text for key, text in role.inline_policies.items() if key != name})
        )

    def list_role_policies(self, context: RequestContext, params: Params) -> Result:
        names = sorted(self._role(context, params).inline_policies)
        return page(params, "PolicyNames", names, lambda name: name, lambda name: name)

    # Tags

    def tag_role(self, context: RequestContext, params: Params) -> None:
        role = self._role(context, params)
        self._put(replace(role, tags=merge(role.tags, parse_tags(params["Tags"]))))

    def untag_role(self, context: RequestContext, params: Params) -> None:
        role = self._role(context, params)
        self._put(replace(role, tags=without(role.tags, params["TagKeys"])))

    def list_role_tags(self, context: RequestContext, params: Params) -> Result:
        tags = sorted(wire_tags(self._role(context, params).tags), key=lambda tag: tag["Key"])
        return page(params, "Tags", tags, lambda tag: tag["Key"], lambda tag: tag)

    # Records

    def _role(self, context: RequestContext, params: Params) -> Role:
        role = find_role(self._store, context.account, params["RoleName"])
        if role is None:
            raise no_such("role", params["RoleName"])
        return role

    def _put(self, role: Role) -> None:
        self._store.transact(Put(ROLE, role))


def find_role(store: Store, account: str, name: str) -> Role | None:
    """By name; names differ by more than case."""
    exact = store.get(ROLE, f"{account}/{name}")
    if exact is not None:
        return exact
    return next((role for role in store.scan(ROLE, f"{account}/") if role.name.lower() == name.lower()), None)


def role_shape(role: Role) -> Result:
    """A role as GetRole gives it."""
    shape: Result = {
        "Path": role.path,
        "RoleName": role.name,
        "RoleId": role.id,
        "Arn": role_arn(role),
        "CreateDate": role.created_at,
        "AssumeRolePolicyDocument": encoded(role.assume_role_policy),
        "MaxSessionDuration": role.max_session_duration_s,
        "RoleLastUsed": {},
    }
    if role.description is not None:
        shape["Description"] = role.description
    if role.tags:
        shape["Tags"] = wire_tags(role.tags)
    return shape
