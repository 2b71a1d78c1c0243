"""CloudWatch Logs through boto3 and the aws command."""

import asyncio
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from served import AWS, Served

from portside.api.logs.service import logs_service
from portside.control.clock import RandomIds, SystemClock
from portside.control.insights_queries import QueryRunner
from portside.store.memory import MemoryStore
from portside.telemetry.live_tail import LiveTails
from portside.telemetry.sqlite import SqliteLogStore

AWS_V2 = Path("/usr/bin/aws")
"""Version 2 of the command, Debian's package `awscli`: `aws logs tail` is there only."""
ARN = "arn:aws:logs:us-east-1:000000000000:log-group:"


@pytest.fixture
def served(serve: Callable[..., Served], tmp_path: Path) -> Iterator[Served]:
    tails = LiveTails(now_ms)
    logs = SqliteLogStore(tmp_path / "logs.db", on_put=[tails.take])
    queries = QueryRunner(tmp_path / "logs.db", SystemClock(), RandomIds())
    yield serve([logs_service(MemoryStore(), logs, SystemClock(), RandomIds(), queries, tails)])
    asyncio.run(logs.close())


@pytest.fixture
def logs(served: Served) -> Any:
    return served.client("logs")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def put(logs: Any, *messages: str, stream: str = "s", at_ms: int | None = None, step_ms: int = 1) -> Any:
    start = now_ms() if at_ms is None else at_ms
    events = [{"timestamp": start + step_ms * number, "message": text} for number, text in enumerate(messages)]
    return logs.put_log_events(logGroupName="g", logStreamName=stream, logEvents=events)


def made(logs: Any, *streams: str) -> None:
    logs.create_log_group(logGroupName="g")
    for stream in streams or ("s",):
        logs.create_log_stream(logGroupName="g", logStreamName=stream)


def texts(answer: Any) -> list[str]:
    return [event["message"] for event in answer["events"]]


def refused(call: Callable[..., Any], code: str, **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    error = caught.value.response["Error"]
    assert error["Code"] == code
    return str(error["Message"])


def test_group_life(logs: Any) -> None:
    """A group is made, described with its figures, and deleted; errors are AWS's."""
    logs.create_log_group(logGroupName="/ecs/web", tags={"team": "a"})
    message = refused(logs.create_log_group, "ResourceAlreadyExistsException", logGroupName="/ecs/web")
    assert message == "The specified log group already exists"
    (group,) = logs.describe_log_groups()["logGroups"]
    assert group["logGroupName"] == "/ecs/web"
    assert group["arn"] == f"{ARN}/ecs/web:*"
    assert group["storedBytes"] == 0
    assert "retentionInDays" not in group
    assert abs(group["creationTime"] - now_ms()) < 60_000
    logs.delete_log_group(logGroupName="/ecs/web")
    message = refused(logs.delete_log_group, "ResourceNotFoundException", logGroupName="/ecs/web")
    assert message == "The specified log group does not exist."


def test_groups_by_prefix_pattern_and_page(logs: Any) -> None:
    """Groups are listed in order, by prefix or part of the name, page by page, and per region."""
    for name in ("a1", "b1", "a2", "a3"):
        logs.create_log_group(logGroupName=name)
    pages = list(logs.get_paginator("describe_log_groups").paginate(PaginationConfig={"PageSize": 3}))
    assert [[group["logGroupName"] for group in page["logGroups"]] for page in pages] == [["a1", "a2", "a3"], ["b1"]]
    assert len(logs.describe_log_groups(logGroupNamePrefix="a")["logGroups"]) == 3
    assert len(logs.describe_log_groups(logGroupNamePattern="1")["logGroups"]) == 2
    refused(logs.describe_log_groups, "InvalidParameterException", logGroupNamePrefix="a", logGroupNamePattern="1")


def test_regions_are_apart(served: Served, logs: Any) -> None:
    """A group of one region is not seen in another."""
    made(logs)
    assert served.client("logs", region="eu-west-1").describe_log_groups()["logGroups"] == []


def test_streams(logs: Any) -> None:
    """Streams are described by name or by their last event, forwards and backwards, page by page."""
    made(logs, "c", "a", "b")
    message = refused(logs.create_log_stream, "ResourceAlreadyExistsException", logGroupName="g", logStreamName="a")
    assert message == "The specified log stream already exists"
    start = now_ms()
    for stream, at_ms in (("a", start - 1000), ("b", start - 3000), ("c", start - 2000)):
        put(logs, "x", stream=stream, at_ms=at_ms)

    def names(**params: Any) -> list[list[str]]:
        found: list[list[str]] = []
        token: dict[str, str] = {}
        while True:
            page = logs.describe_log_streams(logGroupName="g", limit=2, **params, **token)
            found.append([stream["logStreamName"] for stream in page["logStreams"]])
            if "nextToken" not in page:
                return found
            token = {"nextToken": page["nextToken"]}

    assert names() == [["a", "b"], ["c"]]
    assert names(orderBy="LastEventTime", descending=True) == [["a", "c"], ["b"]]
    (stream,) = logs.describe_log_streams(logGroupIdentifier=f"{ARN}g", logStreamNamePrefix="b")["logStreams"]
    assert stream["firstEventTimestamp"] == stream["lastEventTimestamp"] == start - 3000
    assert stream["arn"] == f"{ARN}g:log-stream:b"
    logs.delete_log_stream(logGroupName="g", logStreamName="b")
    assert names() == [["a", "c"]]
    refused(logs.delete_log_stream, "ResourceNotFoundException", logGroupName="g", logStreamName="b")
    refused(
        logs.describe_log_streams,
        "InvalidParameterException",
        logGroupName="g",
        logStreamNamePrefix="a",
        orderBy="LastEventTime",
    )


def test_put_and_get(logs: Any) -> None:
    """What is put is read back, the newest page by default."""
    made(logs)
    assert len(put(logs, "one", "two", "three")["nextSequenceToken"]) == 56
    assert texts(logs.get_log_events(logGroupName="g", logStreamName="s")) == ["one", "two", "three"]
    assert texts(logs.get_log_events(logGroupName="g", logStreamName="s", limit=2)) == ["two", "three"]
    answer = logs.get_log_events(logGroupName="g", logStreamName="s", limit=2, startFromHead=True)
    assert texts(answer) == ["one", "two"]
    assert abs(answer["events"][0]["ingestionTime"] - now_ms()) < 60_000


def test_get_tokens(logs: Any) -> None:
    """At the end the same token comes back, and later events follow it; backwards likewise."""
    made(logs)

    def get(**params: Any) -> Any:
        return logs.get_log_events(logGroupName="g", logStreamName="s", limit=2, **params)

    empty = get(startFromHead=True)
    assert texts(empty) == []
    put(logs, *"abcd", at_ms=now_ms() - 10_000)
    first = get(nextToken=empty["nextForwardToken"])
    assert texts(first) == ["a", "b"]
    second = get(nextToken=first["nextForwardToken"])
    assert texts(second) == ["c", "d"]
    end = get(nextToken=second["nextForwardToken"])
    assert (texts(end), end["nextForwardToken"]) == ([], second["nextForwardToken"])
    assert texts(get(nextToken=end["nextBackwardToken"])) == ["c", "d"]
    assert texts(get(nextToken=second["nextBackwardToken"])) == ["a", "b"]
    head = get(nextToken=first["nextBackwardToken"])
    assert (texts(head), head["nextBackwardToken"]) == ([], first["nextBackwardToken"])
    assert texts(get(nextToken=head["nextForwardToken"])) == ["a", "b"]
    put(logs, "e")
    assert texts(get(nextToken=end["nextForwardToken"])) == ["e"]
    refused(get, "InvalidParameterException", nextToken="f/nonsense")
    refused(get, "InvalidParameterException", nextToken=f"f/{'9' * 56}/s")


def test_a_page_is_at_most_a_megabyte(logs: Any) -> None:
    """Large events are handed out over several pages, none lost."""
    made(logs)
    for number in range(4):
        put(logs, f"{number}" * 400_000)
    seen: list[str] = []
    token: dict[str, Any] = {"startFromHead": True}
    while True:
        answer = logs.get_log_events(logGroupName="g", logStreamName="s", **token)
        if not answer["events"]:
            break
        seen += [text[0] for text in texts(answer)]
        assert len(answer["events"]) <= 2
        token = {"nextToken": answer["nextForwardToken"]}
    assert seen == list("0123")


def test_put_limits(logs: Any) -> None:
    """Batches that break a rule are refused as a whole, events outside the window are named by index."""
    made(logs)
    now = now_ms()

    def refusal(*events: tuple[int, str]) -> str:
        batch = [{"timestamp": at_ms, "message": text} for at_ms, text in events]
        return refused(
            logs.put_log_events, "InvalidParameterException", logGroupName="g", logStreamName="s", logEvents=batch
        )

    assert "chronological order" in refusal((now, "a"), (now - 1, "b"))
    assert "more than 24 hours" in refusal((now - 25 * 3_600_000, "a"), (now, "b"))
    assert refusal((now, "x" * 600_000), (now, "x" * 500_000)) == (
        "Upload too large: 1100052 bytes exceeds limit of 1048576"
    )
    day_ms = 24 * 3_600_000
    answer = put(logs, "old", at_ms=now - 15 * day_ms)
    assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
    answer = put(logs, "fine", "new", at_ms=now, step_ms=3 * 3_600_000)
    assert answer["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 1}
    logs.put_retention_policy(logGroupName="g", retentionInDays=1)
    answer = put(logs, "expired", "kept", at_ms=now - day_ms - 5000, step_ms=10_000)
    assert answer["rejectedLogEventsInfo"] == {"expiredLogEventEndIndex": 1}
    assert texts(logs.get_log_events(logGroupName="g", logStreamName="s")) == ["kept", "fine"]


def test_unknown_places(logs: Any) -> None:
    """An unknown group or stream is said to be so, whatever is asked of it."""
    logs.create_log_group(logGroupName="g")
    event = [{"timestamp": now_ms(), "message": "x"}]
    stream = "The specified log stream does not exist."
    group = "The specified log group does not exist."
    code = "ResourceNotFoundException"
    nowhere: dict[str, Any] = {"logGroupName": "none", "logStreamName": "s"}
    assert refused(logs.put_log_events, code, logGroupName="g", logStreamName="s", logEvents=event) == stream
    assert refused(logs.get_log_events, code, logGroupName="g", logStreamName="s") == stream
    assert refused(logs.filter_log_events, code, logGroupName="g", logStreamNames=["s"]) == stream
    assert refused(logs.put_log_events, code, **nowhere, logEvents=event) == group
    assert refused(logs.create_log_stream, code, **nowhere) == group
    assert refused(logs.get_log_events, code, **nowhere) == group
    assert refused(logs.filter_log_events, code, logGroupName="none") == group
    assert refused(logs.put_retention_policy, code, logGroupName="none", retentionInDays=1) == group


def test_filter(logs: Any) -> None:
    """A search over streams, by pattern, stream, prefix and time, is paged without loss and tells stable ids."""
    made(logs, "web/1", "web/2", "api/1")
    start = now_ms() - 60_000
    for number, stream in enumerate(("web/1", "web/2", "api/1")):
        put(logs, f"{stream} ERROR a", f"{stream} ok", stream=stream, at_ms=start + number, step_ms=100)

    def search(**params: Any) -> list[str]:
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName="g", PaginationConfig={"PageSize": 2}, **params
        )
        return [text for page in pages for text in texts(page)]

    assert len(search()) == 6
    assert search(filterPattern="ERROR") == ["web/1 ERROR a", "web/2 ERROR a", "api/1 ERROR a"]
    assert search(filterPattern="ERROR -api") == ["web/1 ERROR a", "web/2 ERROR a"]
    assert search(filterPattern='"ERROR a" "api"') == ["api/1 ERROR a"]
    assert search(logStreamNamePrefix="web/", filterPattern="?nothing ?ok") == ["web/1 ok", "web/2 ok"]
    assert search(logStreamNames=["api/1"]) == ["api/1 ERROR a", "api/1 ok"]
    assert search(startTime=start + 1, endTime=start + 100) == ["web/2 ERROR a", "api/1 ERROR a", "web/1 ok"]
    assert search(startTime=start, startFromHead=False)[:2] == ["api/1 ok", "web/2 ok"]
    (event,) = logs.filter_log_events(logGroupName="g", startTime=start, limit=1)["events"]
    assert event["logStreamName"] == "web/1"
    assert logs.filter_log_events(logGroupName="g", startTime=start, limit=1)["events"] == [event]
    refused(
        logs.filter_log_events,
        "InvalidParameterException",
        logGroupName="g",
        logStreamNames=["api/1"],
        logStreamNamePrefix="a",
    )
    message = refused(logs.filter_log_events, "InvalidParameterException", logGroupName="g", filterPattern="{ $.a = 1")
    assert message == "If a filter pattern starts with '{' it must end with '}'"


def test_filter_patterns(logs: Any) -> None:
    """JSON, space-delimited and regular expressions let through what they say, page by page."""
    made(logs)
    put(logs, *(f'{{"level": "{level}", "took": {took}}}' for took in range(5) for level in ("INFO", "ERROR")))
    put(logs, "GET /a 200 10", 'GET "/b c" 404 20', "GET /d 500 30")

    def search(pattern: str) -> list[str]:
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName="g", filterPattern=pattern, PaginationConfig={"PageSize": 2}
        )
        return [text for page in pages for text in texts(page)]

    errors = [f'{{"level": "ERROR", "took": {took}}}' for took in range(5)]
    assert search('{ $.level = "ERR*" }') == errors
    assert search('{ $.level = "ERROR" && $.took >= 3e0 }') == errors[3:]
    assert search("[method, path, status=4* || status=5*, bytes]") == ['GET "/b c" 404 20', "GET /d 500 30"]
    assert search("%/[ad] [0-9]{3}%".replace(" ", "\\s")) == ["GET /a 200 10", "GET /d 500 30"]


def finished(logs: Any, query_id: str) -> Any:
    """The results, when the query has ended."""
    until = time.monotonic() + 60
    while (answer := logs.get_query_results(queryId=query_id))["status"] in ("Scheduled", "Running"):
        assert time.monotonic() < until, answer
    return answer


def test_insights(logs: Any, served: Served) -> None:
    """A query over groups is started, found, described; its rows are pages of text; the aws command reads them, too."""
    made(logs)
    logs.create_log_group(logGroupName="h")
    logs.create_log_stream(logGroupName="h", logStreamName="t")
    start = now_ms() // 1000 * 1000 - 60_000
    lines = [f'{{"level": "{level}", "took": {took}}}' for took in range(4) for level in ("INFO", "ERROR")]
    put(logs, *lines, "text", at_ms=start, step_ms=1000)
    event = {"timestamp": start + 500, "message": '{"level": "ERROR", "took": 10}'}
    logs.put_log_events(logGroupName="h", logStreamName="t", logEvents=[event])
    span = {"startTime": start // 1000, "endTime": start // 1000 + 30}

    query = "fields level, took | filter level = 'ERROR' | stats count(*) as n, max(took) by level"
    query_id = logs.start_query(logGroupNames=["g", "h"], queryString=query, **span)["queryId"]
    answer = finished(logs, query_id)
    assert answer["status"] == "Complete"
    fields = [{"field": "level", "value": "ERROR"}, {"field": "n", "value": "5"}, {"field": "max(took)", "value": "10"}]
    assert answer["results"] == [fields]
    told = answer["statistics"]
    assert (told["recordsMatched"], told["recordsScanned"], told["logGroupsScanned"]) == (5, 10, 2)
    assert told["bytesScanned"] == sum(map(len, lines)) + 4 + len(event["message"])
    logs.start_query(logGroupName="g", queryString="limit 1", **span)
    queries = logs.describe_queries(maxResults=1)
    assert [each["queryString"] for each in queries["queries"]] == ["limit 1"]
    (described,) = logs.describe_queries(nextToken=queries["nextToken"], status="Complete")["queries"]
    assert (described["queryId"], described["logGroupName"]) == (query_id, "g")

    query_id = logs.start_query(logGroupIdentifiers=[f"{ARN}g"], queryString="sort @timestamp asc", **span)["queryId"]
    answer = finished(logs, query_id)
    shown = [{each["field"]: each["value"] for each in row} for row in answer["results"]]
    assert [each["@message"] for each in shown] == [*lines, "text"]
    assert all(each.keys() == {"@timestamp", "@message", "@ptr"} for each in shown)
    pages, token = [], {}
    while True:
        page = logs.get_query_results(queryId=query_id, maxItems=4, **token)
        pages += page["results"]
        if "nextToken" not in page:
            break
        token = {"nextToken": page["nextToken"]}
    assert pages == answer["results"]

    common = ("--log-group-name", "g", "--start-time", str(span["startTime"]), "--end-time", str(span["endTime"]))
    found = served.aws("logs", "start-query", *common, "--query-string", "filter took = 3 | fields took | limit 1")
    finished(logs, found["queryId"])
    found = served.aws("logs", "get-query-results", "--query-id", found["queryId"])
    assert found["results"][0][0] == {"field": "took", "value": "3"}


def test_insights_refusals(logs: Any) -> None:
    """What is no query is told with its place; what is not there, in AWS's codes."""
    made(logs)
    span = {"startTime": 1, "endTime": 2}
    with pytest.raises(ClientError) as caught:
        logs.start_query(logGroupName="g", queryString="fields a | unmask @message", **span)
    answer = caught.value.response
    assert answer["Error"]["Code"] == "MalformedQueryException"
    assert "does not implement the command unmask" in answer["Error"]["Message"]
    assert answer["queryCompileError"]["location"] == {"startCharOffset": 11, "endCharOffset": 17}
    ask = logs.start_query
    assert refused(ask, "ResourceNotFoundException", logGroupName="x", queryString="limit 1", **span)
    assert refused(ask, "InvalidParameterException", queryString="limit 1", **span)
    assert refused(ask, "InvalidParameterException", logGroupName="g", queryString="limit 1", startTime=3, endTime=2)
    assert refused(ask, "InvalidParameterException", logGroupName="g", queryString="x", queryLanguage="SQL", **span)
    assert refused(logs.get_query_results, "ResourceNotFoundException", queryId="none")
    query_id = ask(logGroupName="g", queryString="limit 1", **span)["queryId"]
    assert finished(logs, query_id)["results"] == []
    assert "is not running" in refused(logs.stop_query, "InvalidParameterException", queryId=query_id)


def test_insights_patterns(logs: Any) -> None:
    """What recurs, with its share and its severity; of groups of infrequent access there are none, as on AWS."""
    made(logs)
    at_ms = now_ms()
    for message in (
        "[INFO] Request time: 327 ms",
        "[INFO] Request time: 12 ms",
        "[ERROR] x",
        "[INFO] Request time: 5 ms",
    ):
        put(logs, message, at_ms=at_ms)
    span = {"startTime": at_ms // 1000 - 60, "endTime": at_ms // 1000 + 60}
    query_id = logs.start_query(logGroupName="g", queryString="pattern @message", **span)["queryId"]
    rows = [{each["field"]: each["value"] for each in row} for row in finished(logs, query_id)["results"]]
    assert rows == [
        {
            "@pattern": "[INFO] Request time: <Number-1> ms",
            "@ratio": "0.75",
            "@sampleCount": "3",
            "@severityLabel": "Info",
        },
        {"@pattern": "[ERROR] x", "@ratio": "0.25", "@sampleCount": "1", "@severityLabel": "Error"},
    ]
    logs.create_log_group(logGroupName="seldom", logGroupClass="INFREQUENT_ACCESS")
    ask = {"logGroupName": "seldom", "queryString": "pattern @message", **span}
    assert "INFREQUENT_ACCESS" in refused(logs.start_query, "InvalidParameterException", **ask)


def test_records_and_fields(logs: Any) -> None:
    """The pointer of a row leads to all fields of its event; a group tells which fields its latest events have."""
    made(logs)
    message = '{"a": {"b": [1, "x"]}, "@c": true, "none": null}'
    at_ms = now_ms()
    put(logs, message, "text", at_ms=at_ms)
    span = {"startTime": at_ms // 1000 - 60, "endTime": at_ms // 1000 + 60}
    query = "filter ispresent(a.b.0) | fields @message"
    (row,) = finished(logs, logs.start_query(logGroupName="g", queryString=query, **span)["queryId"])["results"]
    pointer = row[1]["value"]
    record = logs.get_log_record(logRecordPointer=pointer)["logRecord"]
    assert abs(int(record.pop("@ingestionTime")) - at_ms) < 60_000
    assert record == {
        "a.b.0": "1",
        "a.b.1": "x",
        "@@c": "1",
        "@message": message,
        "@logStream": "s",
        "@log": "000000000000:g",
        "@timestamp": str(at_ms),
        "@ptr": pointer,
    }
    fields = {each["name"]: each["percent"] for each in logs.get_log_group_fields(logGroupName="g")["logGroupFields"]}
    assert (fields["@message"], fields["a.b.0"], fields["@@c"]) == (100, 50, 50)
    found = logs.get_log_group_fields(logGroupIdentifier="g", time=at_ms // 1000 - 3600)["logGroupFields"]
    assert found == []
    refused(logs.get_log_record, "InvalidParameterException", logRecordPointer="nonsense")
    logs.delete_log_stream(logGroupName="g", logStreamName="s")
    refused(logs.get_log_record, "ResourceNotFoundException", logRecordPointer=pointer)


def test_infrequent_access(served: Served, logs: Any) -> None:
    """A group of that class takes events and queries, and nothing else reads or watches them."""
    logs.create_log_group(logGroupName="g", logGroupClass="INFREQUENT_ACCESS")
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    put(logs, "a")
    (group,) = logs.describe_log_groups(logGroupClass="INFREQUENT_ACCESS")["logGroups"]
    assert group["logGroupClass"] == "INFREQUENT_ACCESS"
    assert logs.describe_log_groups(logGroupClass="STANDARD")["logGroups"] == []
    refused(logs.get_log_events, "InvalidParameterException", logGroupName="g", logStreamName="s")
    refused(logs.filter_log_events, "InvalidParameterException", logGroupName="g")
    transformation = {"metricName": "m", "metricNamespace": "n", "metricValue": "1"}
    refused(
        logs.put_metric_filter,
        "InvalidOperationException",
        logGroupName="g",
        filterName="f",
        filterPattern="",
        metricTransformations=[transformation],
    )
    start = served.client("logs", inject_host_prefix=False).start_live_tail
    refused(start, "InvalidOperationException", logGroupIdentifiers=[f"{ARN}g"])
    span = {"startTime": now_ms() // 1000 - 60, "endTime": now_ms() // 1000 + 60}
    query_id = logs.start_query(logGroupName="g", queryString="stats count(*) as n", **span)["queryId"]
    assert finished(logs, query_id)["results"] == [[{"field": "n", "value": "1"}]]


def test_deletion_protection(logs: Any) -> None:
    """A protected group and its streams stay until the protection is taken away."""
    logs.create_log_group(logGroupName="g", deletionProtectionEnabled=True)
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    assert logs.describe_log_groups()["logGroups"][0]["deletionProtectionEnabled"]
    refused(logs.delete_log_group, "ValidationException", logGroupName="g")
    refused(logs.delete_log_stream, "ValidationException", logGroupName="g", logStreamName="s")
    logs.put_log_group_deletion_protection(logGroupIdentifier=f"{ARN}g", deletionProtectionEnabled=False)
    logs.delete_log_stream(logGroupName="g", logStreamName="s")
    logs.delete_log_group(logGroupName="g")


def test_list_log_groups(logs: Any) -> None:
    """By several beginnings and parts of names, by class and by tags, page by page."""
    for name in ("/ecs/web", "/ecs/api", "/aws/web"):
        logs.create_log_group(logGroupName=name, tags={"team": name[-3:]})

    def names(**params: Any) -> list[str]:
        return [each["logGroupName"] for each in logs.list_log_groups(**params)["logGroups"]]

    assert names() == ["/aws/web", "/ecs/api", "/ecs/web"]
    assert names(logGroupNamePattern="^/ecs|xyz") == ["/ecs/api", "/ecs/web"]
    assert names(logGroupNamePattern="web") == ["/aws/web", "/ecs/web"]
    assert names(logGroupClass="INFREQUENT_ACCESS") == []
    assert names(logGroupTags=[{"key": "team", "values": ["api", "x"]}]) == ["/ecs/api"]
    page = logs.list_log_groups(limit=2)
    assert page["logGroups"][0] == {
        "logGroupName": "/aws/web",
        "logGroupArn": f"{ARN}/aws/web",
        "logGroupClass": "STANDARD",
    }
    assert names(nextToken=page["nextToken"]) == ["/ecs/web"]
    message = refused(logs.create_log_group, "InvalidParameterException", logGroupName="aws/x")
    assert message == "Log group names can't start with the string aws/"


def test_query_definitions(logs: Any) -> None:
    """A query is kept by a name, changed as a whole, listed by the beginning of its name, and deleted."""
    made(logs)
    token = "t" * 36
    first = logs.put_query_definition(name="team/errors", queryString="limit 1", logGroupNames=["g"], clientToken=token)
    again = logs.put_query_definition(name="team/errors", queryString="limit 1", logGroupNames=["g"], clientToken=token)
    query_id = first["queryDefinitionId"]
    assert again["queryDefinitionId"] == query_id
    other = logs.put_query_definition(name="other", queryString="limit 2")["queryDefinitionId"]
    logs.put_query_definition(queryDefinitionId=query_id, name="team/all", queryString="limit 3")
    (found,) = logs.describe_query_definitions(queryDefinitionNamePrefix="team/")["queryDefinitions"]
    assert abs(found.pop("lastModified") - now_ms()) < 60_000
    assert found == {
        "queryLanguage": "CWLI",
        "queryDefinitionId": query_id,
        "name": "team/all",
        "queryString": "limit 3",
        "logGroupNames": [],
    }
    page = logs.describe_query_definitions(maxResults=1)
    assert [each["name"] for each in page["queryDefinitions"]] == ["other"]
    page = logs.describe_query_definitions(maxResults=1, nextToken=page["nextToken"])
    assert [each["name"] for each in page["queryDefinitions"]] == ["team/all"]
    assert logs.delete_query_definition(queryDefinitionId=other)["success"]
    put_definition, name = logs.put_query_definition, {"name": "x", "queryString": "limit 1"}
    refused(logs.delete_query_definition, "ResourceNotFoundException", queryDefinitionId=other)
    refused(put_definition, "ResourceNotFoundException", queryDefinitionId=other, **name)
    refused(put_definition, "InvalidParameterException", queryLanguage="SQL", **name)
    refused(put_definition, "InvalidParameterException", name="x", queryString="no query")


def test_a_query_before_anything_was_logged(logs: Any) -> None:
    """A group in which nothing was ever logged has no rows, and counts none."""
    logs.create_log_group(logGroupName="g")
    for query, rows in (("limit 1", []), ("stats count(*)", [[{"field": "count(*)", "value": "0"}]])):
        query_id = logs.start_query(logGroupName="g", queryString=query, startTime=1, endTime=2)["queryId"]
        answer = finished(logs, query_id)
        assert (answer["status"], answer["results"]) == ("Complete", rows)


def test_a_query_without_end_is_stopped(logs: Any) -> None:
    """An expression that never comes to an end on a text holds up nothing, and its query can be stopped."""
    made(logs)
    put(logs, "a" * 5000 + "!")
    at = now_ms() // 1000
    ask = {"logGroupName": "g", "startTime": at - 60, "endTime": at + 60}
    query_id = logs.start_query(queryString="filter @message like /(a+)+$/", **ask)["queryId"]
    while logs.get_query_results(queryId=query_id)["status"] != "Running":
        pass
    assert finished(logs, logs.start_query(queryString="stats count(*)", **ask)["queryId"])["status"] == "Complete"
    assert logs.get_query_results(queryId=query_id)["status"] == "Running"
    assert logs.stop_query(queryId=query_id)["success"]
    assert logs.get_query_results(queryId=query_id)["status"] == "Cancelled"


def test_test_metric_filter(logs: Any) -> None:
    """The messages that match are told by their number, with the values that the pattern names."""
    messages = ["127.0.0.1 Prod 200", "127.0.0.1 Dev 404"]
    answer = logs.test_metric_filter(filterPattern="[ip, user, status=4*]", logEventMessages=messages)
    assert answer["matches"] == [
        {
            "eventNumber": 2,
            "eventMessage": messages[1],
            "extractedValues": {"$ip": "127.0.0.1", "$user": "Dev", "$status": "404"},
        }
    ]
    answer = logs.test_metric_filter(filterPattern='{ $.a.b = "x*" }', logEventMessages=['{"a": {"b": "xy"}}', "{}"])
    assert answer["matches"][0]["extractedValues"] == {"$.a.b": "xy"}
    message = refused(
        logs.test_metric_filter, "InvalidParameterException", filterPattern="%a!%", logEventMessages=["x"]
    )
    assert message == "Invalid character(s) in term '!'"


def test_following(logs: Any) -> None:
    """Polling as `aws logs tail --follow` does (from the newest time seen, known ids left out) sees each event once."""
    made(logs, "one", "two")
    at_ms = now_ms()
    seen: list[str] = []
    known: set[str] = set()
    since = at_ms - 600_000
    for turn in range(5):
        for stream in ("one", "two"):
            put(logs, f"{stream} {turn}", f"{stream} {turn} again", stream=stream, at_ms=at_ms + turn // 2, step_ms=0)
        params: dict[str, Any] = {"logGroupName": "g", "interleaved": True, "startTime": since, "limit": 3}
        while True:
            answer = logs.filter_log_events(**params)
            for event in answer["events"]:
                if event["eventId"] not in known:
                    known.add(event["eventId"])
                    seen.append(event["message"])
                    since = event["timestamp"]
            if "nextToken" not in answer:
                break
            params["nextToken"] = answer["nextToken"]
    expected = [f"{stream} {turn}{more}" for turn in range(5) for stream in ("one", "two") for more in ("", " again")]
    assert seen == expected


def test_retention_policy(logs: Any) -> None:
    """A policy is one of AWS's numbers of days, is shown, and can be taken back."""
    made(logs)
    logs.put_retention_policy(logGroupName="g", retentionInDays=14)
    assert logs.describe_log_groups()["logGroups"][0]["retentionInDays"] == 14
    refused(logs.put_retention_policy, "InvalidParameterException", logGroupName="g", retentionInDays=2)
    logs.delete_retention_policy(logGroupName="g")
    assert "retentionInDays" not in logs.describe_log_groups()["logGroups"][0]


def test_tags(logs: Any) -> None:
    """Tags are set and removed by name and by ARN, and bad ones are refused."""
    logs.create_log_group(logGroupName="g", tags={"a": "1"})
    logs.tag_log_group(logGroupName="g", tags={"b": "2"})
    logs.tag_resource(resourceArn=f"{ARN}g", tags={"c": "3"})
    assert logs.list_tags_log_group(logGroupName="g")["tags"] == {"a": "1", "b": "2", "c": "3"}
    logs.untag_log_group(logGroupName="g", tags=["a"])
    logs.untag_resource(resourceArn=f"{ARN}g", tagKeys=["b"])
    assert logs.list_tags_for_resource(resourceArn=f"{ARN}g")["tags"] == {"c": "3"}
    refused(logs.tag_resource, "InvalidParameterException", resourceArn=f"{ARN}g", tags={"aws:x": "1"})
    refused(logs.list_tags_for_resource, "ResourceNotFoundException", resourceArn=f"{ARN}none")


def test_what_is_not_built_is_said(logs: Any) -> None:
    """Options that are not there are refused rather than ignored."""
    for extra in ({"kmsKeyId": "k"}, {"logGroupClass": "DELIVERY"}, {"logGroupClass": "ESSENTIALS"}):
        message = refused(logs.create_log_group, "InvalidParameterException", logGroupName="g", **extra)
        assert "not implemented" in message
    assert logs.describe_log_groups()["logGroups"] == []


def test_deleted_group_starts_afresh(logs: Any) -> None:
    """A group made again after its deletion has none of the old streams and events."""
    made(logs)
    put(logs, "old")
    assert logs.describe_log_groups()["logGroups"][0]["storedBytes"] == 29
    logs.delete_log_group(logGroupName="g")
    logs.create_log_group(logGroupName="g")
    assert logs.describe_log_streams(logGroupName="g")["logStreams"] == []
    assert logs.filter_log_events(logGroupName="g")["events"] == []


def test_aws_command(served: Served) -> None:
    """The aws command makes a group, writes and reads."""
    served.aws("logs", "create-log-group", "--log-group-name", "/ecs/web")
    served.aws("logs", "create-log-stream", "--log-group-name", "/ecs/web", "--log-stream-name", "s")
    event = f"timestamp={now_ms()},message=hello"
    where = ("--log-group-name", "/ecs/web", "--log-stream-name", "s")
    served.aws("logs", "put-log-events", *where, "--log-events", event)
    assert texts(served.aws("logs", "get-log-events", *where)) == ["hello"]
    found = served.aws("logs", "filter-log-events", "--log-group-name", "/ecs/web", "--filter-pattern", "hello")
    assert texts(found) == ["hello"]


@pytest.fixture
def tail(served: Served) -> Callable[..., subprocess.Popen[str]]:
    """Start `aws logs tail g`."""
    if not AWS_V2.exists():
        pytest.skip("aws v2 (Debian's awscli) is not installed")

    def start(*words: str) -> subprocess.Popen[str]:
        home = {
            "HOME": "/nonexistent",
            "PATH": os.environ["PATH"],
            "AWS_ACCESS_KEY_ID": "000000000000",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "PYTHONUNBUFFERED": "1",
        }
        command = [AWS_V2, "--endpoint-url", served.url, "logs", "tail", "g", "--format", "short", *words]
        return subprocess.Popen(command, env=home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    return start


def test_tail(logs: Any, tail: Callable[..., subprocess.Popen[str]]) -> None:
    """`aws logs tail` shows what there is, in order, also over several streams and with a filter pattern."""
    made(logs, "one", "two")
    at_ms = now_ms() - 5000
    put(logs, "a ERROR", "c", stream="one", at_ms=at_ms, step_ms=2)
    put(logs, "b ERROR", stream="two", at_ms=at_ms + 1)
    output, _ = tail().communicate(timeout=60)
    assert [line.split(" ", 1)[1] for line in output.splitlines()] == ["a ERROR", "b ERROR", "c"]
    output, _ = tail("--filter-pattern", "ERROR", "--log-stream-names", "two").communicate(timeout=60)
    assert [line.split(" ", 1)[1] for line in output.splitlines()] == ["b ERROR"]


def test_tail_follow(logs: Any, tail: Callable[..., subprocess.Popen[str]]) -> None:
    """`aws logs tail --follow` shows events that come later, each once, until it is interrupted."""
    made(logs)
    put(logs, "early")
    following = tail("--follow")
    try:
        assert following.stdout is not None
        assert following.stdout.readline().endswith(" early\n")
        put(logs, "late", "last")
        lines = [following.stdout.readline().split(" ", 1)[1] for _ in range(2)]
        assert lines == ["late\n", "last\n"]
    finally:
        following.send_signal(signal.SIGINT)
        rest, _ = following.communicate(timeout=60)
    assert rest.strip() == ""


def tailed(logs: Any, **params: Any) -> Iterator[Any]:
    """The updates of a session; the first is what tells of its start. It ends when it is closed."""
    stream = logs.start_live_tail(logGroupIdentifiers=[f"{ARN}g"], **params)["responseStream"]
    try:
        yield from stream
    finally:
        stream.close()


def seen(updates: Iterator[Any], count: int) -> list[str]:
    """The messages of updates until there are so many."""
    found: list[str] = []
    while len(found) < count:
        update = next(updates)["sessionUpdate"]
        assert update["sessionMetadata"] == {"sampled": False}
        found += [each["message"] for each in update["sessionResults"]]
    return found


def test_live_tail(served: Served, logs: Any) -> None:
    """A session shows what is put from its start on, of its groups, streams and pattern, with where it came from."""
    made(logs, "a/1", "a/2", "b")
    client = served.client("logs", inject_host_prefix=False)
    put(logs, "before", stream="b")
    everything = tailed(client)
    start = next(everything)["sessionStart"]
    assert start["logGroupIdentifiers"] == [f"{ARN}g"]
    assert start["sessionId"]
    assert start["requestId"]
    some = tailed(client, logStreamNamePrefixes=["a/"], logEventFilterPattern="{ $.n > 1 }")
    assert next(some)["sessionStart"]["logEventFilterPattern"] == "{ $.n > 1 }"
    one = tailed(client, logStreamNames=["a/2"])
    next(one)
    at_ms = now_ms()
    for stream in ("a/1", "a/2", "b"):
        put(logs, '{"n": 1}', '{"n": 2}', stream=stream, at_ms=at_ms)
    put(logs, "end", stream="b")
    assert seen(everything, 7) == ['{"n": 1}', '{"n": 2}'] * 3 + ["end"]
    assert seen(some, 2) == ['{"n": 2}'] * 2
    put(logs, "last", stream="a/2", at_ms=at_ms)
    assert seen(one, 3) == ['{"n": 1}', '{"n": 2}', "last"]
    while not (results := next(everything)["sessionUpdate"]["sessionResults"]):
        pass
    ingested = results[0].pop("ingestionTime")
    assert abs(ingested - at_ms) < 60_000
    assert results == [
        {
            "logStreamName": "a/2",
            "logGroupIdentifier": "000000000000:g",
            "message": "last",
            "timestamp": at_ms,
        }
    ]
    for each in (everything, some, one):
        each.close()  # type: ignore[attr-defined]


def test_a_live_tail_of_very_much_is_a_sample(served: Served, logs: Any) -> None:
    """An update has 500 events at most, in order, and says that there were more."""
    made(logs)
    updates = tailed(served.client("logs", inject_host_prefix=False))
    next(updates)
    put(logs, *map(str, range(3000)))
    while not (update := next(updates)["sessionUpdate"])["sessionResults"]:
        pass
    numbers = [int(each["message"]) for each in update["sessionResults"]]
    assert len(numbers) == 500
    assert numbers == sorted(set(numbers))
    assert numbers[-1] > 1000
    assert update["sessionMetadata"] == {"sampled": True}
    updates.close()  # type: ignore[attr-defined]


def test_live_tail_refusals(served: Served, logs: Any) -> None:
    """Groups are named by ARNs that are there; streams go with one group; an account has fifteen sessions."""
    made(logs)
    client = served.client("logs", inject_host_prefix=False)
    start = client.start_live_tail
    refused(start, "ResourceNotFoundException", logGroupIdentifiers=[f"{ARN}none"])
    for params in (
        {"logGroupIdentifiers": ["g"]},
        {"logGroupIdentifiers": [f"{ARN}g:*"]},
        {"logGroupIdentifiers": [f"{ARN}g"], "logEventFilterPattern": "{ $.a"},
        {"logGroupIdentifiers": [f"{ARN}g"], "logStreamNames": ["a"], "logStreamNamePrefixes": ["b"]},
    ):
        refused(start, "InvalidParameterException", **params)
    sessions = [tailed(client) for _ in range(15)]
    for each in sessions:
        next(each)
    refused(start, "LimitExceededException", logGroupIdentifiers=[f"{ARN}g"])
    for each in sessions:
        each.close()  # type: ignore[attr-defined]


def test_the_aws_command_tails_live(served: Served, logs: Any) -> None:
    """`aws logs start-live-tail` prints what is put until it is interrupted."""
    made(logs)
    home = served.environment(AWS_DISABLE_HOST_PREFIX_INJECTION="true")
    command = [AWS, "logs", "start-live-tail", "--log-group-identifiers", f"{ARN}g"]
    with subprocess.Popen(command, env=home, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        putting = threading.Event()

        def put_on() -> None:
            number = 0
            while not putting.wait(0.2):
                put(logs, f"line {number}")
                number += 1

        thread = threading.Thread(target=put_on)
        thread.start()
        try:
            line = process.stdout.readline()
            assert line.startswith("line ")
        finally:
            putting.set()
            thread.join()
            process.send_signal(signal.SIGINT)
