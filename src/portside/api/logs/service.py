"""CloudWatch Logs: what is implemented, in one list."""

from portside.api.logs.event import Events
from portside.api.logs.export import Exports
from portside.api.logs.group import Groups
from portside.api.logs.live_tail import LiveTail
from portside.api.logs.metric_filter import MetricFilterRequests
from portside.api.logs.query import QueryRequests
from portside.api.logs.query_definition import QueryDefinitions
from portside.api.logs.stream import Streams
from portside.api.logs.tag import GroupTags
from portside.aws.service import Service
from portside.domain.clock import Clock, Ids
from portside.store.interface import Store
from portside.telemetry.insights import InsightsQueries
from portside.telemetry.interface import LogStore
from portside.telemetry.live_tail import LiveTails


def logs_service(
    store: Store, logs: LogStore, clock: Clock, ids: Ids, queries: InsightsQueries, tails: LiveTails
) -> Service:
    groups, streams, events, tags = (
        Groups(store, logs, clock),
        Streams(store, logs),
        Events(store, logs, clock, ids),
        GroupTags(store),
    )
    definitions = QueryDefinitions(store, clock, ids)
    exports = Exports(store, clock, ids)
    live_tail = LiveTail(store, tails, clock, ids)
    filters, asked = MetricFilterRequests(store, clock), QueryRequests(store, logs, queries, clock)
    return Service(
        name="logs",
        handlers={
            "CreateLogGroup": groups.create,
            "DeleteLogGroup": groups.delete,
            "DescribeLogGroups": groups.describe,
            "ListLogGroups": groups.list,
            "PutLogGroupDeletionProtection": groups.protect,
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
            "StartQuery": asked.start,
            "GetQueryResults": asked.results,
            "StopQuery": asked.stop,
            "DescribeQueries": asked.describe,
            "PutQueryDefinition": definitions.put,
            "DescribeQueryDefinitions": definitions.describe,
            "DeleteQueryDefinition": definitions.delete,
            "GetLogRecord": asked.record,
            "GetLogGroupFields": asked.fields,
            "CreateExportTask": exports.create,
            "DescribeExportTasks": exports.describe,
            "CancelExportTask": exports.cancel,
            "StartLiveTail": live_tail.start,
            "TagLogGroup": tags.tag_group,
            "UntagLogGroup": tags.untag_group,
            "ListTagsLogGroup": tags.list_of_group,
            "TagResource": tags.tag,
            "UntagResource": tags.untag,
            "ListTagsForResource": tags.list,
        },
        partial={
            "CreateLogGroup": "no KMS keys; classes STANDARD and INFREQUENT_ACCESS",
            "DescribeLogGroups": "own account only",
            "PutLogEvents": "no entities",
            "PutMetricFilter": "no transformed logs, no system fields",
            "StartQuery": "Logs Insights QL without diff, unmask, unnest, anomaly, JSON functions",
            "GetQueryResults": "of the latest queries, until Portside ends; no rows before the query is complete",
            "DescribeQueries": "the latest queries, until Portside ends",
            "ListLogGroups": "own account only; no data sources, no field indexes",
            "CreateExportTask": "into folders of the data directory: no S3",
            "PutQueryDefinition": "Logs Insights QL only, no parameters",
            "TagResource": "log groups only",
            "UntagResource": "log groups only",
            "ListTagsForResource": "log groups only",
        },
    )
