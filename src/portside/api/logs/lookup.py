"""Finding the log group that a request means."""

from portside.api.logs.error import invalid, no_group
from portside.aws.service import Params, RequestContext
from portside.domain import arn
from portside.domain.log import LogGroup
from portside.domain.record import Scope
from portside.domain.table import LOG_GROUP
from portside.store.interface import Store


def scope_of(context: RequestContext) -> Scope:
    return Scope(account=context.account, region=context.region)


def group_arn(scope: Scope, name: str) -> str:
    return str(arn.Arn("logs", scope.region, scope.account, f"log-group:{name}"))


def name_of(identifier: str, scope: Scope) -> str:
    """The group's name from a name or an ARN (with or without its `:*`).

    Raises:
        ServiceError: InvalidParameterException, an ARN of something else; ResourceNotFoundException, of elsewhere.
    """
    if not identifier.startswith("arn:"):
        return identifier
    parsed = arn.parse(identifier)
    if parsed is None or parsed.service != "logs" or not parsed.resource.startswith("log-group:"):
        raise invalid(f"Invalid ARN: {identifier}")
    if (parsed.account, parsed.region) != (scope.account, scope.region):
        raise no_group()
    return parsed.resource.removeprefix("log-group:").removesuffix(":*")


def named(store: Store, scope: Scope, name: str) -> LogGroup:
    """Raises ResourceNotFoundException."""
    group = store.get(LOG_GROUP, f"{scope.prefix}{name}")
    if group is None:
        raise no_group()
    return group


def meant(store: Store, scope: Scope, params: Params) -> LogGroup:
    """The group of `logGroupName` or `logGroupIdentifier`, of which there must be one.

    Raises:
        ServiceError: InvalidParameterException, ResourceNotFoundException.
    """
    name, identifier = params.get("logGroupName"), params.get("logGroupIdentifier")
    if (name is None) == (identifier is None):
        raise invalid("Specify either logGroupName or logGroupIdentifier, and not both.")
    return named(store, scope, name if name is not None else name_of(str(identifier), scope))
