"""EventBridge: what is implemented, in one list."""

from portside.api.events.bus import Events
from portside.api.events.rule import Rules
from portside.aws.service import Service
from portside.domain.clock import Clock, Ids
from portside.store.interface import Store


def events_service(store: Store, clock: Clock, ids: Ids) -> Service:
    """The service and its operations."""
    rules, events = Rules(store, clock), Events(store, clock, ids)
    return Service(
        "events",
        {
            "PutRule": rules.put,
            "DescribeRule": rules.describe,
            "ListRules": rules.list,
            "EnableRule": rules.enable,
            "DisableRule": rules.disable,
            "DeleteRule": rules.delete,
            "PutTargets": rules.put_targets,
            "RemoveTargets": rules.remove_targets,
            "ListTargetsByRule": rules.list_targets,
            "ListRuleNamesByTarget": rules.names_by_target,
            "TagResource": rules.tag,
            "UntagResource": rules.untag,
            "ListTagsForResource": rules.list_tags,
            "PutEvents": events.put,
            "TestEventPattern": events.test,
            "DescribeEventBus": events.describe_bus,
            "ListEventBuses": events.list_buses,
        },
        partial={
            "PutRule": "the default event bus",
            "PutTargets": "log groups, topics and ECS tasks; no dead-letter queues",
            "PutEvents": "the default event bus",
        },
    )
