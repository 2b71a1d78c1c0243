"""CloudWatch Logs: what is implemented, in one list."""

from portside.api.logs.event import Events
from portside.api.logs.group import Groups
from portside.api.logs.metric_filter import MetricFilterRequests
from portside.api.logs.stream import Streams
from portside.api.logs.tag import GroupTags
from portside.aws.service import Service
from portside.domain.clock import Clock, Ids
from portside.store.interface import Store
from portside.telemetry.interface import LogStore


def logs_service(store: Store, logs: LogStore, clock: Clock, ids: Ids) -> Service:
    groups, streams, events, tags = (
        Groups(store, logs, clock),
        Streams(store, logs),
        Events(store, logs, clock, ids),
        GroupTags(store),
    )
    filters = MetricFilterRequests(store, clock)
    return Service(
        name="logs",
        handlers={
            "CreateLogGroup": groups.create,
            "DeleteLogGroup": groups.delete,
            "DescribeLogGroups": groups.describe,
            "PutRetentionPolicy": groups.put_retention,
            "DeleteRetentionPolicy": groups.delete_retention,
            "CreateLogStream": streams.create,
            "DeleteLogStream": streams.delete,
            "DescribeLogStreams": streams.describe,
            "PutLogEvents": events.put,
            "GetLogEvents": events.get,
            "FilterLogEvents": events.filter,
            "TestMetricFilter": events.test,
            "PutMetricFilter": filters.put,
            "DescribeMetricFilters": filters.describe,
            "DeleteMetricFilter": filters.delete,
            "TagLogGroup": tags.tag_group,
            "UntagLogGroup": tags.untag_group,
            "ListTagsLogGroup": tags.list_of_group,
            "TagResource": tags.tag,
            "UntagResource": tags.untag,
            "ListTagsForResource": tags.list,
        },
        partial={
            "CreateLogGroup": "no KMS keys, no deletion protection, class STANDARD only",
            "DescribeLogGroups": "own account only",
            "PutLogEvents": "no entities",
            "PutMetricFilter": "no transformed logs, no system fields",
            "TagResource": "log groups only",
            "UntagResource": "log groups only",
            "ListTagsForResource": "log groups only",
        },
    )
