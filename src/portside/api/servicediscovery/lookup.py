"""From what a caller names (an id or an ARN) to the record that is meant, and pages of lists."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from portside.api.servicediscovery.error import invalid, namespace_not_found, service_not_found
from portside.aws.service import Params, RequestContext, ServiceError
from portside.domain import arn, tag_rule
from portside.domain.cloud_map import DiscoveryService, Namespace
from portside.domain.record import Scope, Tag, Tags
from portside.domain.refusal import Refused
from portside.domain.table import DISCOVERY_SERVICE, NAMESPACE
from portside.store.interface import Store

T = TypeVar("T")

PAGE: Final = 100
"""Results on a page, unless fewer are asked for."""


def scope(context: RequestContext) -> Scope:
    return Scope(account=context.account, region=context.region)


def _id(context: RequestContext, named: str, kind: str) -> str | None:
    """The id in an id or ARN; None if it is an ARN of another account or region, or of something else."""
    if not named.startswith("arn:"):
        return named
    parsed = arn.parse(named)
    if parsed is None or (parsed.service, parsed.account, parsed.region) != (
        "servicediscovery",
        context.account,
        context.region,
    ):
        return None
    found, _, rest = parsed.resource.partition("/")
    return rest if found == kind else None


def namespace(store: Store, context: RequestContext, named: str) -> Namespace:
    """Raises ServiceError: NamespaceNotFound."""
    found_id = _id(context, named, "namespace")
    found = store.get(NAMESPACE, f"{context.prefix}{found_id}") if found_id else None
    if found is None:
        raise namespace_not_found(named)
    return found


def service(store: Store, context: RequestContext, named: str) -> DiscoveryService:
    """Raises ServiceError: ServiceNotFound."""
    found_id = _id(context, named, "service")
    found = store.get(DISCOVERY_SERVICE, f"{context.prefix}{found_id}") if found_id else None
    if found is None:
        raise service_not_found(named)
    return found


def tags_from(params: Params, name: str) -> Tags:
    """The tags of a new resource. Raises ServiceError: they break a rule, or are too many."""
    tags = tuple(Tag(key=each["Key"], value=each["Value"]) for each in params.get("Tags") or ())
    check_tags(tags, name)
    return tags


def check_tags(tags: Tags, name: str) -> None:
    if len(tags) > tag_rule.MOST:
        raise too_many_tags(name)
    try:
        tag_rule.check(tags)
    except Refused as error:
        raise invalid(error.message) from error


def too_many_tags(name: str) -> ServiceError:
    return ServiceError("TooManyTagsException", f"A resource can have at most {tag_rule.MOST} tags.", ResourceName=name)


def cut(params: Params, items: Sequence[T], key: Callable[[T], str]) -> tuple[Sequence[T], dict[str, str]]:
    """The page that is asked for, and NextToken if another follows. Args: items: in any order; shown in the key's."""
    ordered = sorted(items, key=key)
    start = 0
    if params.get("NextToken"):
        try:
            last = base64.b64decode(params["NextToken"], altchars=b"-_", validate=True).decode()
        except (binascii.Error, ValueError):
            raise invalid("The value of NextToken is not valid.") from None
        start = next((at for at, item in enumerate(ordered) if key(item) > last), len(ordered))
    shown = ordered[start : start + (params.get("MaxResults") or PAGE)]
    if start + len(shown) >= len(ordered) or not shown:
        return shown, {}
    return shown, {"NextToken": base64.urlsafe_b64encode(key(shown[-1]).encode()).decode()}
