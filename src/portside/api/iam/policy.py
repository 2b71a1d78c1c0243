"""Customer managed policies. They have one version, v1; AWS's own policies are known by their ARN only."""

import re
from collections.abc import Mapping

from portside.api.iam.document import check_identity_policy, encoded
from portside.api.iam.error import exists, in_use, no_such_policy, quota
from portside.api.iam.page import page
from portside.api.iam.tag import merge, parse_tags, wire_tags
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain.arn import parse
from portside.domain.clock import Clock, Ids
from portside.domain.iam import Policy, Role
from portside.domain.table import POLICY, ROLE
from portside.store.interface import ABSENT, Delete, Put, Store

MAX_DOCUMENT_CHARACTERS = 6_144
"""Characters of a managed policy, white space not counted: AWS's quota."""

_SPACE = re.compile(r"\s+")
_AWS_MANAGED = re.compile(r"arn:aws[a-z-]*:iam::aws:policy/([\w+=,.@-]+/)*[\w+=,.@-]+", re.ASCII)


def is_aws_managed(arn: str) -> bool:
    """Whether the ARN has the form of a policy that AWS provides. Which of them exist is not known here."""
    return _AWS_MANAGED.fullmatch(arn) is not None


def find_policy(store: Store, account: str, arn: str) -> Policy | None:
    """The customer managed policy of that ARN."""
    parts = parse(arn)
    if parts is None or parts.service != "iam" or parts.account != account:
        return None
    kind, _, rest = parts.resource.partition("/")
    return store.get(POLICY, f"{account}//{rest}") if kind == "policy" else None


class PolicyHandlers:
    """The operations on customer managed policies."""

    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "CreatePolicy": self.create_policy,
            "GetPolicy": self.get_policy,
            "ListPolicies": self.list_policies,
            "DeletePolicy": self.delete_policy,
            "GetPolicyVersion": self.get_policy_version,
            "ListPolicyVersions": self.list_policy_versions,
        }

    def create_policy(self, context: RequestContext, params: Params) -> Result:
        name = params["PolicyName"]
        # Names are unique in the account whatever their path, and differ by more than case.
        if any(policy.name.lower() == name.lower() for policy in self._policies(context.account)):
            raise exists(f"A policy called {name} already exists. Duplicate names are not allowed.")
        document = check_identity_policy(params["PolicyDocument"])
        if len(_SPACE.sub("", document)) > MAX_DOCUMENT_CHARACTERS:
            raise quota(f"Cannot exceed quota for PolicySize: {MAX_DOCUMENT_CHARACTERS}")
        policy = Policy(
            account=context.account,
            name=name,
            id="ANPA" + self._ids.hex(17).upper(),
            path=params.get("Path", "/"),
            document=document,
            description=params.get("Description"),
            tags=merge((), parse_tags(params.get("Tags", ()))),
            created_at=self._clock.now().replace(microsecond=0),
        )
        self._store.transact(Put(POLICY, policy, expect=ABSENT))
        return {"Policy": self._shape(policy, 0)}

    def get_policy(self, context: RequestContext, params: Params) -> Result:
        policy = self._policy(context, params)
        shape = self._shape(policy, self._attachments(context.account).get(policy_arn(policy), 0))
        if policy.description is not None:
            shape["Description"] = policy.description
        if policy.tags:
            shape["Tags"] = wire_tags(policy.tags)
        return {"Policy": shape}

    def list_policies(self, context: RequestContext, params: Params) -> Result:
        if params.get("Scope") == "AWS":
            raise ServiceError(
                "NotImplemented",
                "Portside has no list of AWS managed policies; it accepts their ARNs (docs/coverage.md).",
                501,
            )
        prefix = params.get("PathPrefix", "/")
        attachments = self._attachments(context.account)
        if params.get("PolicyUsageFilter") == "PermissionsBoundary":
            return {"Policies": [], "IsTruncated": False}
        found = [
            policy
            for policy in self._policies(context.account)
            if policy.path.startswith(prefix)
            and (not params.get("OnlyAttached") or attachments.get(policy_arn(policy)))
        ]
        return page(
            params,
            "Policies",
            sorted(found, key=policy_arn),
            policy_arn,
            lambda policy: self._shape(policy, attachments.get(policy_arn(policy), 0)),
        )

    def delete_policy(self, context: RequestContext, params: Params) -> None:
        policy = self._policy(context, params)
        if self._attachments(context.account).get(policy_arn(policy)):
            raise in_use("Cannot delete a policy attached to entities.")
        self._store.transact(Delete(POLICY, POLICY.key(policy)))

    def get_policy_version(self, context: RequestContext, params: Params) -> Result:
        policy = self._policy(context, params)
        if params["VersionId"] != "v1":
            raise ServiceError(
                "NoSuchEntityException",
                f"Policy {params['PolicyArn']} version {params['VersionId']} does not exist or is not attachable.",
                404,
            )
        return {"PolicyVersion": {**_version(policy), "Document": encoded(policy.document)}}

    def list_policy_versions(self, context: RequestContext, params: Params) -> Result:
        return {"Versions": [_version(self._policy(context, params))], "IsTruncated": False}

    def _policies(self, account: str) -> list[Policy]:
        return list(self._store.scan(POLICY, f"{account}/"))

    def _policy(self, context: RequestContext, params: Params) -> Policy:
        arn = params["PolicyArn"]
        if is_aws_managed(arn):
            raise ServiceError(
                "NotImplemented",
                f"Portside does not have AWS managed policies such as {arn}; their ARNs can be attached to roles.",
                501,
            )
        policy = find_policy(self._store, context.account, arn)
        if policy is None:
            raise no_such_policy(arn)
        return policy

    def _attachments(self, account: str) -> dict[str, int]:
        counts: dict[str, int] = {}
        roles: list[Role] = list(self._store.scan(ROLE, f"{account}/"))
        for role in roles:
            for arn in role.attached_policy_arns:
                counts[arn] = counts.get(arn, 0) + 1
        return counts

    def _shape(self, policy: Policy, attachments: int) -> Result:
        return {
            "PolicyName": policy.name,
            "PolicyId": policy.id,
            "Arn": policy_arn(policy),
            "Path": policy.path,
            "DefaultVersionId": "v1",
            "AttachmentCount": attachments,
            "PermissionsBoundaryUsageCount": 0,
            "IsAttachable": True,
            "CreateDate": policy.created_at,
            "UpdateDate": policy.created_at,
        }


def policy_arn(policy: Policy) -> str:
    return f"arn:aws:iam::{policy.account}:policy{policy.path}{policy.name}"


def _version(policy: Policy) -> Result:
    return {"VersionId": "v1", "IsDefaultVersion": True, "CreateDate": policy.created_at}
