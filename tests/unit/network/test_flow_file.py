"""What a router leads, as it is kept on disk."""

from pathlib import Path

import msgspec

from portside.domain.flow import Flow, FlowBackend, FlowOwner
from portside.node.network.flow_file import FlowFile, earlier

BACKEND = FlowBackend(target_group_arn="arn:tg", targets=(("10.0.0.9", 80),))


def flow(protocol: str) -> Flow:
    return Flow(
        load_balancer_arn="arn:lb", address="10.0.0.4", protocol=protocol, port=80, backends=(BACKEND,), idle_s=9
    )


def test_numbers_are_kept(tmp_path: Path) -> None:
    """Each protocol has a number of its own, which stays the same as long as the file is there, also when its flow is
    gone."""
    path = tmp_path / "flows"
    first = FlowFile(path)
    first.save((flow("tcp"), flow("udp")))
    assert sorted(first.numbers.values()) == [1, 2]
    first.save((flow("udp"),))
    again = FlowFile(path)
    assert (again.flows, again.numbers) == ((flow("udp"),), first.numbers)


def test_numbers_of_an_earlier_portside(tmp_path: Path) -> None:
    """What an earlier one led is led on, with numbers of its own; the old ones are known, since flows may stand that
    have them in their marks."""
    path = tmp_path / "flows"
    old = {"arn:lb arn:tg 10.0.0.4": 7, "arn:lb arn:other": 5}
    path.write_bytes(msgspec.json.encode({"flows": (flow("tcp"),), "numbers": old, "last": 7}))
    kept = FlowFile(path)
    owner = FlowOwner("arn:lb", "arn:tg", "10.0.0.4", "tcp")
    assert kept.numbers[owner] == 8
    assert kept.numbers[earlier(owner)[0]] == 7
    assert kept.numbers[FlowOwner("arn:lb", "arn:other", "", "")] == 5
