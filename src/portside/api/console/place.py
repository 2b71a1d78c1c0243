"""Where something of ECS is: what the console offers to switch to."""

from portside.domain import table
from portside.store.interface import Store


def places(store: Store) -> dict[str, list[str]]:
    """Regions that have a cluster or a task definition, by account."""
    scopes = {each.scope for each in store.scan(table.CLUSTER)}
    scopes |= {each.scope for each in store.scan(table.TASK_DEFINITION_FAMILY)}
    found: dict[str, list[str]] = {}
    for scope in sorted(scopes, key=lambda each: (each.account, each.region)):
        found.setdefault(scope.account, []).append(scope.region)
    return found
