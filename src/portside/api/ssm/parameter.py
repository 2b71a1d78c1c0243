"""The operations on parameters."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

from portside.api.ssm import pattern, public
from portside.api.ssm.error import invalid, told
from portside.api.ssm.page import page
from portside.api.ssm.selection import BY_PATH_KEYS, DESCRIBE_KEYS, check, is_below, selects
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import parameter as rule
from portside.domain import tag_rule
from portside.domain.clock import Clock
from portside.domain.parameter import Parameter, ParameterVersion, Reference, labels_of, parameter_arn
from portside.domain.record import Scope, Tag, Tags, replace
from portside.domain.refusal import Refused
from portside.domain.table import PARAMETER, PARAMETER_VERSION
from portside.store.interface import ABSENT, Delete, Put, Store, Write
from portside.vault.interface import Vault
from portside.vault.parameter import ParameterMissing, find, plaintext

_BY_PATH_PAGE: Final = 10
_PAGE: Final = 50


class Parameters:
    def __init__(self, store: Store, vault: Vault, clock: Clock) -> None:
        self._store, self._vault, self._clock = store, vault, clock

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "PutParameter": self.put,
            "GetParameter": self.get,
            "GetParameters": self.get_several,
            "GetParametersByPath": self.get_by_path,
            "DescribeParameters": self.describe,
            "GetParameterHistory": self.history,
            "DeleteParameter": self.delete,
            "DeleteParameters": self.delete_several,
            "LabelParameterVersion": self.label,
            "UnlabelParameterVersion": self.unlabel,
            "AddTagsToResource": self.add_tags,
            "RemoveTagsFromResource": self.remove_tags,
            "ListTagsForResource": self.list_tags,
        }

    # --- writing

    async def put(self, context: RequestContext, params: Params) -> Result:
        scope = _scope(context)
        name, value = params["Name"].strip(), params["Value"]
        with told():
            rule.check_name(scope, name)
            rule.check_value(value)
        _refuse(params)
        if params.get("AllowedPattern"):
            # No record is read yet: what is found now may have changed when the answer is there.
            await pattern.check(params["AllowedPattern"], value)
        before = self._store.read(PARAMETER, f"{scope.prefix}{name}")
        old = before.value if before is not None else None
        latest = self._version(old, old.latest) if old is not None else None
        if old is not None and not params.get("Overwrite"):
            raise ServiceError(
                "ParameterAlreadyExists",
                "The parameter already exists. To overwrite this value, set the overwrite option in the request to "
                "true.",
            )
        kind = params.get("Type") or (latest.type if latest is not None else None)
        if kind is None:
            raise invalid("A parameter type is required when you create a parameter.")
        if latest is not None and kind != latest.type:
            raise ServiceError(
                "HierarchyTypeMismatchException",
                f"The parameter {name} is of type {latest.type} and can not become a {kind}: create another one.",
            )
        if params.get("KeyId") and kind != "SecureString":
            raise invalid("KeyId is only valid for parameters of type SecureString.")
        tags = _tags_from(params.get("Tags") or ())
        if tags and params.get("Overwrite"):
            raise invalid(
                "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please "
                "remove overwrite flag. To update tags for an existing parameter, please use AddTagsToResource or "
                "RemoveTagsFromResource."
            )
        number = old.latest + 1 if old is not None else 1
        with told():
            tier = rule.chosen_tier(
                params.get("Tier"), len(value.encode()), latest.tier if latest is not None else None
            )
        is_secret = kind == "SecureString"
        version = ParameterVersion(
            scope=scope,
            name=name,
            version=number,
            type=kind,
            value="" if is_secret else value,
            sealed=self._vault.seal(value.encode(), rule.vault_context(scope, name, number)) if is_secret else b"",
            tier=tier,
            description=params.get("Description", latest.description if latest is not None else None),
            allowed_pattern=params.get("AllowedPattern", latest.allowed_pattern if latest is not None else None),
            modified_at=self._clock.now(),
            modified_by=context.principal_arn,
        )
        writes: list[Write] = [Put(PARAMETER_VERSION, version)]
        if old is None:
            writes.append(Put(PARAMETER, Parameter(scope=scope, name=name, latest=1, tags=tags), ABSENT))
        else:
            assert before is not None
            writes.append(Put(PARAMETER, replace(old, latest=number), before.version))
            writes += self._oldest_gone(old, number)
        self._store.transact(*writes)
        return {"Version": number, "Tier": tier}

    def _oldest_gone(self, parameter: Parameter, latest: int) -> list[Write]:
        """Of more than a hundred versions the oldest goes, unless it is labelled."""
        gone = latest - rule.VERSIONS_MAX
        if gone < 1:
            return []
        if labels_of(parameter, gone):
            raise ServiceError(
                "ParameterMaxVersionLimitExceeded",
                f"You attempted to create a new version of {parameter.name} by calling the PutParameter API with the "
                f"overwrite flag. Version {gone}, the oldest version, can't be deleted because it has a label "
                "associated with it. Move the label to another version of the parameter, and try again.",
            )
        return [Delete(PARAMETER_VERSION, f"{parameter.scope.prefix}{parameter.name}:{gone:09d}")]

    def delete(self, context: RequestContext, params: Params) -> Result:
        scope = _scope(context)
        with told():
            parameter = self._named(scope, params["Name"])
        self._remove(parameter)
        return {}

    def delete_several(self, context: RequestContext, params: Params) -> Result:
        deleted, unknown = [], []
        for name in dict.fromkeys(params["Names"]):
            try:
                parameter = self._named(_scope(context), name)
            except ParameterMissing:
                unknown.append(name)
                continue
            self._remove(parameter)
            deleted.append(name)
        return {"DeletedParameters": deleted, "InvalidParameters": unknown}

    def _named(self, scope: Scope, name: str) -> Parameter:
        """The parameter of exactly that name: no ARN, and no version that all the others would go with.

        Raises ParameterMissing."""
        found = self._store.get(PARAMETER, f"{scope.prefix}{name}")
        if found is None:
            raise ParameterMissing(f"Parameter {name} not found.")
        return found

    def _remove(self, parameter: Parameter) -> None:
        key = f"{parameter.scope.prefix}{parameter.name}"
        versions = [Delete(PARAMETER_VERSION, PARAMETER_VERSION.key(each)) for each in self._versions(parameter)]
        self._store.transact(*versions, Delete(PARAMETER, key))

    # --- reading

    def get(self, context: RequestContext, params: Params) -> Result:
        known = public.find(context, params["Name"])
        if known is not None:
            return {"Parameter": known}
        with told():
            _, version, meant = find(self._store, _scope(context), params["Name"])
            return {"Parameter": self._shape(version, meant, decrypt=bool(params.get("WithDecryption")))}

    def get_several(self, context: RequestContext, params: Params) -> Result:
        found, unknown = [], []
        for name in dict.fromkeys(params["Names"]):
            known = public.find(context, name)
            if known is not None:
                found.append(known)
                continue
            try:
                _, version, meant = find(self._store, _scope(context), name)
            except ParameterMissing:
                unknown.append(name)
                continue
            with told():
                found.append(self._shape(version, meant, decrypt=bool(params.get("WithDecryption"))))
        return {"Parameters": found, "InvalidParameters": unknown}

    def get_by_path(self, context: RequestContext, params: Params) -> Result:
        path = params["Path"]
        if not path.startswith("/"):
            raise invalid(
                "The parameter doesn't meet the parameter name requirements. The parameter name must begin with a "
                'forward slash "/".'
            )
        filters = params.get("ParameterFilters") or ()
        check(filters, BY_PATH_KEYS, tags=False)
        recursive = bool(params.get("Recursive"))
        known = public.below(context, path, recursive=recursive)
        if known:
            shown_public, token = page(params, known, lambda each: str(each["Name"]), _BY_PATH_PAGE)
            return _with_token({"Parameters": list(shown_public)}, token)
        labelled = next((each["Values"] for each in filters if each["Key"] == "Label"), None)
        found: list[ParameterVersion] = []
        for parameter in self._store.scan(PARAMETER, context.prefix):
            if not is_below(parameter.name, path, recursive=recursive):
                continue
            numbers = {parameter.latest}
            if labelled is not None:  # then the versions that carry one of the labels
                numbers = {parameter.labels[each] for each in labelled if each in parameter.labels}
            for number in sorted(numbers):
                version = self._version(parameter, number)
                if selects(filters, parameter, version):
                    found.append(version)
        found.sort(key=PARAMETER_VERSION.key)
        shown, token = page(params, found, PARAMETER_VERSION.key, _BY_PATH_PAGE)
        decrypt = bool(params.get("WithDecryption"))
        with told():
            return _with_token(
                {"Parameters": [self._shape(each, Reference(each.name, ""), decrypt=decrypt) for each in shown]}, token
            )

    def describe(self, context: RequestContext, params: Params) -> Result:
        if params.get("Shared"):
            raise invalid("Portside has no parameters that other accounts share.")
        if params.get("Filters") and params.get("ParameterFilters"):
            raise invalid("You can use either Filters or ParameterFilters in a single request.")
        filters = params.get("ParameterFilters") or [
            {
                "Key": each["Key"],
                "Option": "BeginsWith" if each["Key"] == "Name" else "Equals",
                "Values": each["Values"],
            }
            for each in params.get("Filters") or ()
        ]
        check(filters, DESCRIBE_KEYS, tags=True)
        found = [
            version
            for parameter in self._store.scan(PARAMETER, context.prefix)
            if selects(filters, parameter, version := self._version(parameter, parameter.latest))
        ]
        found.sort(key=lambda each: each.name)
        shown, token = page(params, found, lambda each: each.name, _PAGE)
        return _with_token({"Parameters": [_metadata(each) for each in shown]}, token)

    def history(self, context: RequestContext, params: Params) -> Result:
        with told():
            parameter, _, _ = find(self._store, _scope(context), params["Name"])
        shown, token = page(params, self._versions(parameter), PARAMETER_VERSION.key, _PAGE)
        decrypt = bool(params.get("WithDecryption"))
        with told():
            items = [
                {
                    **_metadata(each),
                    "Value": self._value(each, decrypt=decrypt),
                    "Labels": labels_of(parameter, each.version),
                }
                for each in shown
            ]
        for item in items:
            item.pop("ARN")  # the one member of the metadata that a history lacks
        return _with_token({"Parameters": items}, token)

    # --- labels and tags

    def label(self, context: RequestContext, params: Params) -> Result:
        parameter, number = self._labelled(context, params)
        good, bad = rule.valid_labels(params["Labels"])
        labels = {**parameter.labels, **dict.fromkeys(good, number)}
        if len(labels_of(replace(parameter, labels=labels), number)) > rule.LABELS_MAX:
            raise ServiceError(
                "ParameterVersionLabelLimitExceeded",
                "A parameter version can have a maximum of ten labels. Move one or more labels to another version and "
                "try again.",
            )
        self._store.transact(Put(PARAMETER, replace(parameter, labels=labels)))
        return {"InvalidLabels": bad, "ParameterVersion": number}

    def unlabel(self, context: RequestContext, params: Params) -> Result:
        parameter, number = self._labelled(context, params)
        removed = [each for each in dict.fromkeys(params["Labels"]) if parameter.labels.get(each) == number]
        labels = {label: version for label, version in parameter.labels.items() if label not in removed}
        self._store.transact(Put(PARAMETER, replace(parameter, labels=labels)))
        return {
            "RemovedLabels": removed,
            "InvalidLabels": [each for each in dict.fromkeys(params["Labels"]) if each not in removed],
        }

    def _labelled(self, context: RequestContext, params: Params) -> tuple[Parameter, int]:
        """The parameter and the number of the version that is meant."""
        number = params.get("ParameterVersion")
        name = params["Name"] if number is None else f"{params['Name']}:{number}"
        with told():
            parameter, version, _ = find(self._store, _scope(context), name)
        return parameter, version.version

    def add_tags(self, context: RequestContext, params: Params) -> Result:
        parameter = self._tagged(context, params)
        try:
            tags = tag_rule.merged(parameter.tags, _tags_from(params["Tags"]))
        except Refused as error:
            raise ServiceError("TooManyTagsError", error.message) from error
        self._store.transact(Put(PARAMETER, replace(parameter, tags=tags)))
        return {}

    def remove_tags(self, context: RequestContext, params: Params) -> Result:
        parameter = self._tagged(context, params)
        tags = tuple(each for each in parameter.tags if each.key not in params["TagKeys"])
        self._store.transact(Put(PARAMETER, replace(parameter, tags=tags)))
        return {}

    def list_tags(self, context: RequestContext, params: Params) -> Result:
        parameter = self._tagged(context, params)
        return {"TagList": [{"Key": each.key, "Value": each.value} for each in parameter.tags]}

    def _tagged(self, context: RequestContext, params: Params) -> Parameter:
        if params["ResourceType"] != "Parameter":
            raise ServiceError("InvalidResourceType", f"Portside has no resources of type {params['ResourceType']}.")
        try:
            return find(self._store, _scope(context), params["ResourceId"])[0]
        except ParameterMissing:
            raise ServiceError(
                "InvalidResourceId",
                f'The resource ID "{params["ResourceId"]}" is not valid. Verify the ID and try again.',
            ) from None

    # --- records and shapes

    def _version(self, parameter: Parameter, number: int) -> ParameterVersion:
        found = self._store.get(PARAMETER_VERSION, f"{parameter.scope.prefix}{parameter.name}:{number:09d}")
        assert found is not None, "a parameter's latest version is stored with it"
        return found

    def _versions(self, parameter: Parameter) -> Sequence[ParameterVersion]:
        return list(self._store.scan(PARAMETER_VERSION, f"{parameter.scope.prefix}{parameter.name}:"))

    def _value(self, version: ParameterVersion, *, decrypt: bool) -> str:
        if version.type == "SecureString" and not decrypt:
            return base64.b64encode(version.sealed).decode()
        return plaintext(self._vault, version)

    def _shape(self, version: ParameterVersion, meant: Reference, *, decrypt: bool) -> Result:
        shape: Result = {
            "Name": version.name,
            "Type": version.type,
            "Value": self._value(version, decrypt=decrypt),
            "Version": version.version,
            "LastModifiedDate": version.modified_at,
            "ARN": parameter_arn(version.scope, version.name),
            "DataType": version.data_type,
        }
        if meant.selector:
            shape["Selector"] = f":{meant.selector}"
        return shape


def _metadata(version: ParameterVersion) -> Result:
    shape: Result = {
        "Name": version.name,
        "ARN": parameter_arn(version.scope, version.name),
        "Type": version.type,
        "LastModifiedDate": version.modified_at,
        "LastModifiedUser": version.modified_by,
        "Version": version.version,
        "Tier": version.tier,
        "Policies": [],
        "DataType": version.data_type,
    }
    if version.type == "SecureString":
        shape["KeyId"] = rule.KEY_ALIAS
    if version.description:
        shape["Description"] = version.description
    if version.allowed_pattern:
        shape["AllowedPattern"] = version.allowed_pattern
    return shape


def _refuse(params: Params) -> None:
    """Raises ServiceError: what is asked for is not there."""
    if params.get("Policies") not in (None, "", "[]"):
        raise ServiceError("InvalidPolicyTypeException", "Portside does not implement policies of parameters.")
    if params.get("DataType") not in (None, "", "text"):
        raise invalid(f"Portside does not implement the data type {params['DataType']}, only text.")
    if params.get("KeyId") not in (None, "", rule.KEY_ALIAS):
        raise ServiceError(
            "InvalidKeyId",
            f"Portside has no key {params['KeyId']}: parameters are encrypted by {rule.KEY_ALIAS}, which is its own.",
        )


def _tags_from(items: Sequence[Mapping[str, Any]]) -> Tags:
    tags = tuple(Tag(key=each["Key"], value=each["Value"]) for each in items)
    with told():
        tag_rule.check(tags)
    return tags


def _scope(context: RequestContext) -> Scope:
    return Scope(account=context.account, region=context.region)


def _with_token(result: Result, token: str | None) -> Result:
    if token is not None:
        result["NextToken"] = token
    return result
