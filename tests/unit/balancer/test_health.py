"""From Envoy's health check events to AWS's states and reasons."""

import json
import os
from pathlib import Path
from typing import Any

from portside.balancer.health import CheckedGroup, HealthTracker, LogTail, parse
from portside.balancer.interface import HealthReport

HOST = ("lb_tg", "10.0.0.1", 8080)


def line(kind: str, **detail: Any) -> str:
    place = {"socket_address": {"address": HOST[1], "port_value": HOST[2]}}
    return json.dumps({"host": place, "cluster_name": HOST[0], kind: detail, "timestamp": "2026-01-01T00:00:00Z"})


HEALTHY = line("add_healthy_event", first_check=True)
FAILED = line("health_check_failure_event", failure_type="ACTIVE", http_status_code=503)
TIMEOUT = line("health_check_failure_event", failure_type="NETWORK_TIMEOUT")
NETWORK = line("health_check_failure_event", failure_type="NETWORK")
EJECTED = line("eject_unhealthy_event", failure_type="ACTIVE")


def tracker(threshold: int = 2) -> HealthTracker:
    made = HealthTracker()
    made.configure({"lb_tg": CheckedGroup(target_group_arn="arn", unhealthy_threshold=threshold)}, {HOST})
    return made


def fold(made: HealthTracker, *lines: str) -> list[HealthReport]:
    events = [event for each in lines if (event := parse(each)) is not None]
    return [report for event in events if (report := made.fold(event)) is not None]


def reasons(reports: list[HealthReport]) -> list[tuple[str, str]]:
    return [(report.reason_code, report.detail) for report in reports]


def test_other_lines_say_nothing() -> None:
    """Broken lines and other events are passed over."""
    assert [parse(each) for each in ("", "{", "[]", "{}", line("degraded_healthy_host"))] == [None] * 5


def test_first_success_makes_healthy() -> None:
    """One success is enough, and is reported once."""
    (report,) = fold(tracker(), HEALTHY, HEALTHY)
    assert (report.state, report.target_group_arn, report.target_id, report.port) == ("healthy", "arn", *HOST[1:])


def test_new_target_is_unhealthy_after_its_threshold() -> None:
    """A target that never answered well stays initial until it has failed as often as the group says."""
    made = tracker(3)
    assert fold(made, FAILED, FAILED) == []
    assert reasons(fold(made, FAILED)) == [
        ("Target.ResponseCodeMismatch", "Health checks failed with these codes: [503]")
    ]


def test_failures_before_a_success_do_not_count() -> None:
    """Failures are counted in a row."""
    made = tracker(2)
    fold(made, FAILED, HEALTHY)
    assert fold(made, FAILED) == []


def test_reasons_follow_the_last_failure() -> None:
    """Each kind of failure has AWS's code and words, and a change of the kind is reported."""
    assert reasons(fold(tracker(1), TIMEOUT, TIMEOUT, NETWORK, FAILED)) == [
        ("Target.Timeout", "Request timed out"),
        ("Target.FailedHealthChecks", "Health checks failed"),
        ("Target.ResponseCodeMismatch", "Health checks failed with these codes: [503]"),
    ]


def test_healthy_target_fails_when_envoy_ejects_it() -> None:
    """A healthy target's single failures are nothing until Envoy ejects it."""
    made = tracker(2)
    fold(made, HEALTHY)
    assert fold(made, FAILED) == []
    assert [report.state for report in fold(made, EJECTED, FAILED)] == ["unhealthy", "unhealthy"]


def test_unknown_clusters_are_passed_over() -> None:
    """Events of clusters that are no longer configured change nothing."""
    made = tracker()
    made.configure({}, set())
    assert fold(made, HEALTHY) == []


def test_envoys_list_completes_the_events() -> None:
    """After a gap Envoy's own list is right; what it has not checked yet is not known."""
    made = tracker()
    (report,) = [made.found(HOST, healthy=True, pending=False)]
    assert report is not None
    assert report.state == "healthy"
    assert made.found(HOST, healthy=True, pending=False) is None
    gone = made.found(HOST, healthy=False, pending=False)
    assert gone is not None
    assert gone.state == "unhealthy"
    assert made.found(HOST, healthy=False, pending=True) is None
    assert made.known(HOST) is None


def test_tail_gives_whole_lines_once(tmp_path: Path) -> None:
    """Lines arrive once, when complete; an emptied file is read from its start."""
    lines: list[str] = []
    path = tmp_path / "log"
    tail = LogTail(path, lines.append)
    tail.read()
    path.write_text("one\ntw")
    tail.read()
    with path.open("a") as file:
        file.write("o\n")
    tail.read()
    assert lines == ["one", "two"]
    tail.shorten(limit_bytes=1)
    assert path.stat().st_size == 0
    with path.open("a") as file:
        file.write("three\n")
    tail.read()
    assert lines == ["one", "two", "three"]


def test_tail_notices_that_its_file_was_taken_away(tmp_path: Path) -> None:
    """A file that was never there is not lost; one that was read and then removed or replaced is, until found again."""
    lines: list[str] = []
    path = tmp_path / "log"
    tail = LogTail(path, lines.append)
    tail.read()
    assert not tail.lost
    path.write_text("one\n")
    tail.read()
    assert not tail.lost
    path.unlink()
    assert tail.lost
    (tmp_path / "other").write_text("two\n")
    (tmp_path / "other").rename(path)
    tail.find()
    assert not tail.lost
    tail.read()
    assert lines == ["one", "two"]


def test_tail_notices_a_file_emptied_and_grown_again(tmp_path: Path) -> None:
    """A file that was emptied by somebody and is as long as before, or longer, is read from its start."""
    lines: list[str] = []
    path = tmp_path / "log"
    tail = LogTail(path, lines.append)
    path.write_text("one\n")
    tail.read()
    path.write_text("two\n")
    os.utime(path, (1, 1))
    tail.read()
    path.write_text("three\nfour\n")
    tail.read()
    assert lines == ["one", "two", "three", "four"]
