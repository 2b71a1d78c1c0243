"""Account settings: put, list, delete; and what is in force for a caller."""

from collections.abc import Mapping
from typing import Final

from portside.api.ecs import lookup, page, wire
from portside.api.ecs.error import invalid
from portside.aws.service import Handler, Params, RequestContext, Result
from portside.domain import account_setting, arn
from portside.domain.account_setting import KNOWN, READ_ONLY, AccountSetting, in_force, key_of
from portside.domain.record import Scope
from portside.domain.table import ACCOUNT_SETTING
from portside.store.interface import Delete, Put, Store

LISTED_MOST: Final = 10


class AccountSettings:
    def __init__(self, store: Store) -> None:
        self._store = store

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "PutAccountSetting": self.put,
            "PutAccountSettingDefault": self.put_default,
            "ListAccountSettings": self.list,
            "DeleteAccountSetting": self.delete,
        }

    def put(self, context: RequestContext, params: Params) -> Result:
        return self._put(context, params, _principal(context, params))

    def put_default(self, context: RequestContext, params: Params) -> Result:
        return self._put(context, params, context.root_arn)

    def _put(self, context: RequestContext, params: Params, principal: str) -> Result:
        name, value = params["name"], params["value"]
        account_setting.check(name, value)
        setting = AccountSetting(scope=lookup.scope(context), name=name, principal_arn=principal, value=value)
        self._store.transact(Put(ACCOUNT_SETTING, setting))
        return {"setting": _to_wire(name, value, principal)}

    def delete(self, context: RequestContext, params: Params) -> Result:
        """Afterwards the account's default holds for the principal, and AWS's own where the root user's is deleted."""
        name, principal = params["name"], _principal(context, params)
        account_setting.checked_name(name)
        if chosen(self._store, lookup.scope(context), name, principal) is not None:
            self._store.transact(Delete(ACCOUNT_SETTING, key_of(lookup.scope(context), name, principal)))
        return {"setting": _to_wire(name, effective(self._store, context, name, principal)[0], principal)}

    def list(self, context: RequestContext, params: Params) -> Result:
        principal = _principal(context, params)
        name, value = params.get("name"), params.get("value")
        if name:
            account_setting.checked_name(name)
        elif value:
            raise invalid("A value can only be specified together with an account setting name.")
        most = params.get("maxResults")
        if most is not None and not 1 <= most <= LISTED_MOST:
            raise invalid(f"maxResults should be between 1 and {LISTED_MOST}.")
        found: dict[str, wire.Wire] = {}
        for each in sorted(KNOWN):
            if name and each != name:
                continue
            if params.get("effectiveSettings"):
                has, whose = effective(self._store, context, each, principal)
            else:
                own = chosen(self._store, lookup.scope(context), each, principal)
                if own is None:
                    continue
                has, whose = own, principal
            if not value or has == value:
                found[each] = _to_wire(each, has, whose)
        shown, more = page.cut(list(found), params, LISTED_MOST)
        result: Result = {"settings": [found[each] for each in shown]}
        if more is not None:
            result["nextToken"] = more
        return result


def effective(store: Store, context: RequestContext, name: str, principal: str | None = None) -> tuple[str, str]:
    """The value in force for the principal (the caller, unless named), and whose it is: its own, or the root user's."""
    principals = (principal or context.identity_arn, context.root_arn)
    return in_force(name, principals, lambda each: chosen(store, lookup.scope(context), name, each))


def chosen(store: Store, scope: Scope, name: str, principal: str) -> str | None:
    """What was put for exactly this principal."""
    setting = store.get(ACCOUNT_SETTING, key_of(scope, name, principal))
    return setting.value if setting is not None else None


def _principal(context: RequestContext, params: Params) -> str:
    """Whose settings are meant."""
    named = params.get("principalArn")
    if not named:
        return context.identity_arn
    parsed = arn.parse(named)
    if (
        parsed is None
        or parsed.service != "iam"
        or parsed.account != context.account
        or not (parsed.resource == "root" or parsed.resource.startswith(("user/", "role/")))
    ):
        raise invalid(f"Invalid principal ARN: {named}")
    return str(named)


def _to_wire(name: str, value: str, principal: str) -> wire.Wire:
    kind = "aws_managed" if name in READ_ONLY else "user"
    return {"name": name, "value": value, "principalArn": principal, "type": kind}
