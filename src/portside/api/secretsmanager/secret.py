"""The operations on secrets."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from portside.api.secretsmanager.error import forbidden, invalid, told
from portside.api.secretsmanager.password import random_password
from portside.api.secretsmanager.selection import check, ordered, selects
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import secret as rule
from portside.domain import tag_rule
from portside.domain.clock import Clock, Ids
from portside.domain.record import Record, Scope, Tag, Tags, replace
from portside.domain.secret import Secret, SecretValue, secret_arn
from portside.domain.table import SECRET, SECRET_VALUE
from portside.store.interface import ABSENT, Delete, Put, Store, Write
from portside.vault.interface import Vault
from portside.vault.secret import SecretMissing, find, opened, value

_PAGE: Final = 100
_BATCH: Final = 20


class Content(Record, frozen=True, kw_only=True):
    """A value as it was given. It never shows itself."""

    data: bytes
    is_binary: bool

    def __repr__(self) -> str:
        return "Content(…)"


class Secrets:
    def __init__(self, store: Store, vault: Vault, clock: Clock, ids: Ids) -> None:
        self._store, self._vault, self._clock, self._ids = store, vault, clock, ids

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "CreateSecret": self.create,
            "PutSecretValue": self.put_value,
            "GetSecretValue": self.get_value,
            "BatchGetSecretValue": self.batch_get_value,
            "DescribeSecret": self.describe,
            "ListSecrets": self.list,
            "UpdateSecret": self.update,
            "DeleteSecret": self.delete,
            "RestoreSecret": self.restore,
            "ListSecretVersionIds": self.list_versions,
            "UpdateSecretVersionStage": self.move_stage,
            "TagResource": self.tag,
            "UntagResource": self.untag,
            "PutResourcePolicy": self.put_policy,
            "GetResourcePolicy": self.get_policy,
            "DeleteResourcePolicy": self.delete_policy,
            "GetRandomPassword": random_password,
            "RotateSecret": self.rotate,
        }

    # --- writing

    def create(self, context: RequestContext, params: Params) -> Result:
        scope, name, now = _scope(context), params["Name"], self._clock.now()
        with told():
            rule.check_name(name)
        _refuse(params)
        content = _content(params)
        token = params.get("ClientRequestToken") or self._ids.uuid()
        there = self._store.get(SECRET, f"{scope.prefix}{name}")
        if there is not None:
            if there.deleted_at is not None:
                raise forbidden(
                    "You can't create this secret because a secret with this name is already scheduled for deletion."
                )
            if content is not None and self._holds(there, token, content):
                return self._named(there, VersionId=token)
            raise ServiceError(
                "ResourceExistsException", f"The operation failed because the secret {name} already exists."
            )
        secret = Secret(
            scope=scope,
            name=name,
            suffix=self._suffix(),
            description=params.get("Description"),
            tags=_tags_from(params.get("Tags") or ()),
            created_at=now,
            changed_at=now,
        )
        if content is None:
            self._store.transact(Put(SECRET, secret, ABSENT))
            return self._named(secret)
        secret = rule.with_version(secret, token, (rule.CURRENT,), now=now)
        self._store.transact(Put(SECRET, secret, ABSENT), Put(SECRET_VALUE, self._sealed(secret, token, content)))
        return self._named(secret, VersionId=token)

    def put_value(self, context: RequestContext, params: Params) -> Result:
        secret = self._live(context, params)
        if params.get("RotationToken"):
            raise invalid("Portside does not rotate secrets.")
        content = _content(params)
        if content is None:
            raise forbidden("You must provide either SecretString or SecretBinary.")
        token = params.get("ClientRequestToken") or self._ids.uuid()
        stages = params.get("VersionStages") or [rule.CURRENT]
        secret = self._with_value(secret, token, content, stages)
        found = next(each for each in secret.versions if each.id == token)
        return self._named(secret, VersionId=token, VersionStages=list(found.stages))

    def update(self, context: RequestContext, params: Params) -> Result:
        secret = self._live(context, params)
        _refuse(params)
        content = _content(params)
        if "Description" in params:
            secret = replace(secret, description=params["Description"], changed_at=self._clock.now())
        if content is None:
            self._store.transact(Put(SECRET, secret))
            return self._named(secret)
        token = params.get("ClientRequestToken") or self._ids.uuid()
        secret = self._with_value(secret, token, content, [rule.CURRENT])
        return self._named(secret, VersionId=token)

    def _with_value(self, secret: Secret, token: str, content: Content, stages: Sequence[str]) -> Secret:
        """Stored with that version. The same token with the same content changes nothing. Raises ServiceError."""
        if any(each.id == token for each in secret.versions):
            if not self._holds(secret, token, content):
                raise ServiceError(
                    "ResourceExistsException",
                    "You can't modify the existing version, you can only create a new version.",
                )
            return secret
        changed = rule.with_version(secret, token, stages, now=self._clock.now())
        kept = {each.id for each in changed.versions}
        gone: list[Write] = [
            Delete(SECRET_VALUE, _value_key(secret, each.id)) for each in secret.versions if each.id not in kept
        ]
        self._store.transact(Put(SECRET, changed), Put(SECRET_VALUE, self._sealed(changed, token, content)), *gone)
        return changed

    def delete(self, context: RequestContext, params: Params) -> Result:
        force, days = bool(params.get("ForceDeleteWithoutRecovery")), params.get("RecoveryWindowInDays")
        now = self._clock.now()
        with told():
            try:
                secret = find(self._store, _scope(context), params["SecretId"])
            except SecretMissing:
                if not force:
                    raise
                # As AWS says of it: what is not there is as good as deleted.
                missing = self._missing(context, params["SecretId"])
                return self._named(missing, DeletionDate=rule.deletion(missing, days, force=True, now=now).delete_at)
            if secret.deleted_at is not None and not force:
                raise forbidden("You tried to perform the operation on a secret that's currently marked deleted.")
            gone = rule.deletion(secret, days, force=force, now=now)
        if force:
            values = [Delete(SECRET_VALUE, _value_key(secret, each.id)) for each in secret.versions]
            self._store.transact(*values, Delete(SECRET, SECRET.key(secret)))
        else:
            self._store.transact(Put(SECRET, gone))
        return self._named(gone, DeletionDate=gone.delete_at)

    def restore(self, context: RequestContext, params: Params) -> Result:
        with told():
            secret = find(self._store, _scope(context), params["SecretId"])
        secret = replace(secret, deleted_at=None, delete_at=None)
        self._store.transact(Put(SECRET, secret))
        return self._named(secret)

    def rotate(self, context: RequestContext, params: Params) -> Result:
        self._live(context, params)
        raise forbidden(
            "Portside does not rotate secrets: there are no Lambda functions. Put a new value (PutSecretValue) instead."
        )

    def move_stage(self, context: RequestContext, params: Params) -> Result:
        secret = self._live(context, params)
        stage, to, off = params["VersionStage"], params.get("MoveToVersionId"), params.get("RemoveFromVersionId")
        holder = next((each.id for each in secret.versions if stage in each.stages), None)
        for named in (to, off):
            if named is not None and all(each.id != named for each in secret.versions):
                raise ServiceError(
                    "ResourceNotFoundException",
                    f"Secrets Manager can't find the specified secret value for VersionId: {named}",
                )
        if to is None and stage == rule.CURRENT:
            raise invalid(
                f"You can only move staging label {rule.CURRENT} to a different secret version. It can't be "
                "completely removed."
            )
        if holder is not None and holder != to and off != holder:
            raise invalid(
                f"The parameter RemoveFromVersionId can't be empty. Staging label {stage} is currently attached to "
                f"version {holder}, so you must explicitly reference that version in RemoveFromVersionId."
            )
        if to is not None:
            target = next(each for each in secret.versions if each.id == to)
            if stage not in target.stages and len(target.stages) >= rule.STAGES_MAX:
                raise ServiceError("LimitExceededException", f"A version can have at most {rule.STAGES_MAX} labels.")
        secret = rule.moved(secret, stage, to, now=self._clock.now())
        self._store.transact(Put(SECRET, secret))
        return self._named(secret)

    # --- reading

    def get_value(self, context: RequestContext, params: Params) -> Result:
        with told():
            secret = find(self._store, _scope(context), params["SecretId"])
            return self._value_shape(secret, params.get("VersionId"), params.get("VersionStage"))

    def batch_get_value(self, context: RequestContext, params: Params) -> Result:
        ids, filters = params.get("SecretIdList"), params.get("Filters")
        if bool(ids) == bool(filters):
            raise invalid("Either 'SecretIdList' or 'Filters' must be provided, but not both.")
        token = None
        if filters:
            all_of_them = ordered(self._selected(context, filters, deleted=False), None, descending=True)
            shown, token = _page(params, all_of_them, _BATCH)
            ids = [secret_arn(each) for each in shown]
        values, errors = [], []
        for each in ids or ():
            try:
                with told():
                    values.append(self._value_shape(find(self._store, _scope(context), each), None, None))
            except ServiceError as error:
                errors.append({"SecretId": each, "ErrorCode": error.code, "Message": error.message})
        return _with_token({"SecretValues": values, "Errors": errors}, token)

    def describe(self, context: RequestContext, params: Params) -> Result:
        with told():
            secret = find(self._store, _scope(context), params["SecretId"])
        shape = self._shape(secret)
        shape["VersionIdsToStages"] = shape.pop("SecretVersionsToStages")
        return shape

    def list(self, context: RequestContext, params: Params) -> Result:
        found = self._selected(context, params.get("Filters") or (), deleted=bool(params.get("IncludePlannedDeletion")))
        descending = params.get("SortOrder", "desc") == "desc"
        shown, token = _page(params, ordered(found, params.get("SortBy"), descending=descending), _PAGE)
        return _with_token({"SecretList": [self._shape(each) for each in shown]}, token)

    def list_versions(self, context: RequestContext, params: Params) -> Result:
        with told():
            secret = find(self._store, _scope(context), params["SecretId"])
        versions = [each for each in secret.versions if each.stages or params.get("IncludeDeprecated")]
        shown, token = _page(params, versions, _PAGE)
        items = [
            {
                "VersionId": each.id,
                "VersionStages": list(each.stages),
                "CreatedDate": each.created_at,
                "KmsKeyIds": ["DefaultEncryptionKey"],
            }
            for each in shown
        ]
        return _with_token(self._named(secret, Versions=items), token)

    def _selected(
        self, context: RequestContext, filters: Sequence[Mapping[str, Any]], *, deleted: bool
    ) -> Sequence[Secret]:
        check(filters)
        return [
            each
            for each in self._store.scan(SECRET, context.prefix)
            if (deleted or each.deleted_at is None) and selects(filters, each)
        ]

    # --- tags and policies

    def tag(self, context: RequestContext, params: Params) -> Result:
        secret = self._live(context, params)
        with told():
            tags = tag_rule.merged(secret.tags, _tags_from(params["Tags"]))
        self._store.transact(Put(SECRET, replace(secret, tags=tags)))
        return {}

    def untag(self, context: RequestContext, params: Params) -> Result:
        secret = self._live(context, params)
        tags = tuple(each for each in secret.tags if each.key not in params["TagKeys"])
        self._store.transact(Put(SECRET, replace(secret, tags=tags)))
        return {}

    def put_policy(self, context: RequestContext, params: Params) -> Result:
        secret = self._live(context, params)
        try:
            json.loads(params["ResourcePolicy"])
        except ValueError:
            raise ServiceError("MalformedPolicyDocumentException", "This resource policy is not valid JSON.") from None
        self._store.transact(Put(SECRET, replace(secret, policy=params["ResourcePolicy"])))
        return self._named(secret)

    def get_policy(self, context: RequestContext, params: Params) -> Result:
        secret = self._live(context, params)
        return self._named(secret, ResourcePolicy=secret.policy) if secret.policy else self._named(secret)

    def delete_policy(self, context: RequestContext, params: Params) -> Result:
        secret = self._live(context, params)
        self._store.transact(Put(SECRET, replace(secret, policy=None)))
        return self._named(secret)

    # --- records and shapes

    def _live(self, context: RequestContext, params: Params) -> Secret:
        with told():
            secret = find(self._store, _scope(context), params["SecretId"])
        if secret.deleted_at is not None:
            raise forbidden("You can't perform this operation on the secret because it was marked for deletion.")
        return secret

    def _missing(self, context: RequestContext, secret_id: str) -> Secret:
        """A secret that might have had this name or ARN. Raises Refused."""
        *_, name = rule.names_of(secret_id)
        whole = secret_id.startswith("arn:") and len(rule.names_of(secret_id)) > 1
        suffix = name[-6:] if whole else self._suffix()
        name = name[:-7] if whole else name
        rule.check_name(name)
        now = self._clock.now()
        return Secret(scope=_scope(context), name=name, suffix=suffix, created_at=now, changed_at=now)

    def _suffix(self) -> str:
        """Six letters and digits."""
        return base64.b32encode(bytes.fromhex(self._ids.hex(10))).decode()[:6].lower()

    def _sealed(self, secret: Secret, version_id: str, content: Content) -> SecretValue:
        return SecretValue(
            scope=secret.scope,
            name=secret.name,
            suffix=secret.suffix,
            version_id=version_id,
            sealed=self._vault.seal(content.data, rule.vault_context(secret, version_id)),
            is_binary=content.is_binary,
        )

    def _holds(self, secret: Secret, version_id: str, content: Content) -> bool:
        held = self._store.get(SECRET_VALUE, _value_key(secret, version_id))
        if held is None or held.is_binary != content.is_binary:
            return False
        with told():
            return opened(self._vault, secret, held) == content.data

    def _value_shape(self, secret: Secret, version_id: str | None, stage: str | None) -> Result:
        found, held = value(self._store, secret, version_id=version_id, stage=stage)
        data = opened(self._vault, secret, held)
        shape = self._named(secret, VersionId=found.id, VersionStages=list(found.stages), CreatedDate=found.created_at)
        if held.is_binary:
            shape["SecretBinary"] = data
        else:
            shape["SecretString"] = data.decode()
        # AWS keeps the day only, so that reading does not write more than once a day.
        today = self._clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
        if secret.accessed_on != today:
            self._store.transact(Put(SECRET, replace(secret, accessed_on=today)))
        return shape

    def _named(self, secret: Secret, **members: Any) -> Result:
        return {"ARN": secret_arn(secret), "Name": secret.name, **members}

    def _shape(self, secret: Secret) -> Result:
        shape = self._named(
            secret,
            LastChangedDate=secret.changed_at,
            CreatedDate=secret.created_at,
            Tags=[{"Key": each.key, "Value": each.value} for each in secret.tags],
            SecretVersionsToStages={each.id: list(each.stages) for each in secret.versions if each.stages},
        )
        for member, known in (
            ("Description", secret.description),
            ("LastAccessedDate", secret.accessed_on),
            ("DeletedDate", secret.delete_at),
        ):
            if known is not None:
                shape[member] = known
        return shape


def _value_key(secret: Secret, version_id: str) -> str:
    return f"{SECRET.key(secret)}-{secret.suffix}/{version_id}"


def _content(params: Params) -> Content | None:
    """What is to be kept, None if nothing is given. Raises ServiceError: both kinds are given."""
    text, binary = params.get("SecretString"), params.get("SecretBinary")
    if text is not None and binary is not None:
        raise invalid("You can't specify both a binary secret value and a string secret value in the same secret.")
    if text is not None:
        return Content(data=text.encode(), is_binary=False)
    return Content(data=binary, is_binary=True) if binary is not None else None


def _refuse(params: Params) -> None:
    if params.get("KmsKeyId") not in (None, "", rule.KEY_ALIAS):
        raise invalid(
            f"Portside has no key {params['KmsKeyId']}: secrets are encrypted by {rule.KEY_ALIAS}, which is its own."
        )
    for member in ("AddReplicaRegions", "Type", "CrossAccountPrimaryARN"):
        if params.get(member):
            raise invalid(f"Portside does not implement {member}.")


def _tags_from(items: Sequence[Mapping[str, Any]]) -> Tags:
    tags = tuple(Tag(key=each.get("Key") or "", value=each.get("Value") or "") for each in items)
    with told():
        tag_rule.check(tags)
    return tags


def _scope(context: RequestContext) -> Scope:
    return Scope(account=context.account, region=context.region)


def _page(params: Params, items: Sequence[Any], size: int) -> tuple[Sequence[Any], str | None]:
    """The page that is asked for; the token holds how far the list was shown."""
    start = 0
    if params.get("NextToken"):
        try:
            start = int(base64.b64decode(params["NextToken"], validate=True))
        except (binascii.Error, ValueError):
            raise ServiceError("InvalidNextTokenException", "The NextToken value is not valid.") from None
    end = start + (params.get("MaxResults") or size)
    return items[start:end], base64.b64encode(str(end).encode()).decode() if end < len(items) else None


def _with_token(result: Result, token: str | None) -> Result:
    if token is not None:
        result["NextToken"] = token
    return result
