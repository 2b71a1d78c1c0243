"""What a VPC's router is to do with balanced flows, on disk: it does so while the daemon is down, and after it."""

import os
from pathlib import Path

import msgspec

from portside.domain.flow import Flow, FlowOwner, owner_of


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    flows: tuple[Flow, ...] = ()
    numbers: dict[str, int] = {}
    last: int = 0


class FlowFile:
    """`flows` and `numbers` are what was saved last. Numbers are in the marks of flows that outlive a process, so one
    is never given to another owner."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
        except (FileNotFoundError, msgspec.DecodeError):
            self._kept = _Kept()
        # an earlier Portside's flows have numbers of another kind
        self._number(self._kept.flows)

    def _number(self, flows: tuple[Flow, ...]) -> None:
        numbers, last = dict(self._kept.numbers), self._kept.last
        for flow in flows:
            for backend in flow.backends:
                key = " ".join(owner_of(flow, backend))
                if key not in numbers:
                    last += 1
                    numbers[key] = last
        self._kept = _Kept(flows=flows, numbers=numbers, last=last)
        self.flows, self.numbers = flows, _numbers(self._kept)

    def save(self, flows: tuple[Flow, ...]) -> None:
        """Those that have no number yet get one. Numbers of what is gone are kept: flows may still stand."""
        self._number(flows)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".fresh")
        fresh.write_bytes(msgspec.json.encode(self._kept))
        os.replace(fresh, self._path)


def _numbers(kept: _Kept) -> dict[FlowOwner, int]:
    found = {}
    for key, number in kept.numbers.items():
        load_balancer_arn, target_group_arn, address, protocol = f"{key}   ".split(" ")[:4]
        found[FlowOwner(load_balancer_arn, target_group_arn, address, protocol)] = number
    return found


def earlier(owner: FlowOwner) -> tuple[FlowOwner, FlowOwner]:
    """As what an earlier Portside numbered such flows: it did not tell protocols, or addresses either, apart."""
    return owner._replace(protocol=""), owner._replace(address="", protocol="")
