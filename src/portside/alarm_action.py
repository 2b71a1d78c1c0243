"""An alarm's actions with what the store has: for the API, which sets states, and for the loop, which evaluates."""

from collections.abc import Callable, Iterable
from datetime import datetime

from portside.domain import alarm_action, arn
from portside.domain import topic as topics
from portside.domain.alarm import Alarm, AlarmHistory, State
from portside.domain.table import ALARM_HISTORY, NOTIFICATION, SCALABLE_TARGET, SUBSCRIPTION, TOPIC
from portside.domain.topic import Subscription, Topic
from portside.store.interface import Put, Store, Write


def acted(
    store: Store, alarm: Alarm, before: State, *, now: datetime, uuid: Callable[[], str]
) -> tuple[list[AlarmHistory], list[Write]]:
    """Items of the history of an alarm in its new state, and the writes of these and of what is to be sent.

    Args: before: the state that it was in."""

    def find_topic(topic_arn: str) -> tuple[Topic, Iterable[Subscription]] | None:
        key = topics.key_of(topic_arn)
        topic = store.get(TOPIC, key)
        return (topic, store.scan(SUBSCRIPTION, f"{key}/")) if topic is not None else None

    def is_policy(action: str) -> bool:
        return any(
            action == arn.scaling_policy(target.scope, target.resource_id, policy.id, policy.name)
            for target in store.scan(SCALABLE_TARGET, alarm.scope.prefix)
            for policy in target.step_policies
        )

    told, sent = alarm_action.acted(alarm, before, now=now, uuid=uuid, find_topic=find_topic, is_policy=is_policy)
    writes: list[Write] = [Put(ALARM_HISTORY, each) for each in told]
    writes += [Put(NOTIFICATION, each) for each in sent]
    return told, writes
