"""A data plane in memory, for tests of what drives it: `balancer/interface.py`'s Protocol.

It takes configurations as Envoy does, refuses what Envoy would refuse, and checks the targets that the test says
answer.
"""

from collections.abc import Mapping, Sequence

from portside.balancer.interface import BalancerConfig, BalancerRefused, HealthListener, HealthReport
from portside.domain.flow import FlowCounts
from portside.domain.load_balancer import FixedResponse, Listener
from portside.domain.load_balancer_metric import GroupCounts, ListenerCounts, Seen
from portside.domain.load_balancer_rule import used_groups

Key = tuple[str, str, int]
"""Target group ARN, address, port."""


class FakeBalancer:
    def __init__(self) -> None:
        self.configs: tuple[BalancerConfig, ...] = ()
        self.applied = 0
        self.broken = ""
        """Not empty: every start and apply is refused with these words."""
        self.answers: dict[str, bool] = {}
        """By address: whether its health checks succeed. What is not here is not checked yet."""
        self.requests: dict[Key, int] = {}
        self.counted: dict[tuple[str, str], GroupCounts] = {}
        self.seen: dict[Seen, int] = {}
        self.in_zones: dict[tuple[str, str], FlowCounts] = {}
        """By load balancer and target group: what there is to tell."""
        self.hit: dict[str, int] = {}
        self.clients: dict[str, ListenerCounts] = {}
        """By rule or listener: what there is to tell."""
        self.running = False
        self._listener: HealthListener = lambda report: None
        self._known: dict[Key, str] = {}
        self._claims: dict[tuple[str, str], str] = {}

    async def start(self, listener: HealthListener) -> None:
        if self.broken:
            raise BalancerRefused(self.broken)
        self._listener, self.running = listener, True

    async def apply(self, configs: Sequence[BalancerConfig]) -> None:
        if self.broken:
            raise BalancerRefused(self.broken)
        for config in configs:
            for action in [*(x.default_action for x in config.listeners), *(x.action for x in config.rules)]:
                if isinstance(action, FixedResponse) and not 200 <= int(action.status_code) <= 599:
                    raise BalancerRefused(f"status {action.status_code} is not one of HTTP's")
        self.configs = tuple(configs)
        self.applied += 1
        self._check(reregistered=True)

    def answer(self, address: str, ok: bool = True) -> None:
        """From now on the health checks of an address succeed or fail."""
        self.answers[address] = ok
        self._check(reregistered=False)

    def checked(self) -> set[Key]:
        """The targets that are checked."""
        return {
            (target.target_group_arn, target.id, target.port)
            for config in self.configs
            for target in config.targets
            if target.target_group_arn in used_groups(config.listeners, config.rules) and not target.deregistered_at
        }

    def _check(self, *, reregistered: bool) -> None:
        checked = self.checked()
        unknown = {
            (target.target_group_arn, target.id, target.port)
            for config in self.configs
            for target in config.targets
            if target.checked == "unknown"
        }
        self._known = {key: state for key, state in self._known.items() if key in checked}
        for key in sorted(checked):
            ok = self.answers.get(key[1])
            if ok is None:
                continue
            state = "healthy" if ok else "unhealthy"
            if self._known.get(key) != state or (reregistered and key in unknown):
                self._known[key] = state
                self._listener(_report(key, ok))

    async def counts(self) -> Mapping[tuple[str, str], GroupCounts]:
        return {
            key: self.counted.get(key, GroupCounts())
            for config in self.configs
            for group in config.target_groups
            for key in [(config.load_balancer.arn, group.arn)]
        }

    async def listener_counts(self) -> Mapping[str, ListenerCounts]:
        return {
            each.arn: self.clients.get(each.arn, ListenerCounts())
            for config in self.configs
            for each in config.listeners
        }

    async def hits(self) -> Mapping[str, int]:
        arns = [each.arn for config in self.configs for each in config.rules]
        arns += [each.arn for config in self.configs for each in _speaking_http(config)]
        return {arn: self.hit.get(arn, 0) for arn in arns}

    async def zone_flows(self) -> Mapping[tuple[str, str], FlowCounts]:
        return dict(self.in_zones)

    async def ended_requests(self) -> Mapping[Seen, int]:
        return dict(self.seen)

    async def open_requests(self, target_group_arn: str) -> dict[tuple[str, int], int]:
        known = {
            (target.id, target.port): 0
            for config in self.configs
            for target in config.targets
            if target.target_group_arn == target_group_arn
        }
        return known | {key[1:]: n for key, n in self.requests.items() if key[0] == target_group_arn and n}

    async def end_connections(self, target_group_arn: str, address: str, port: int) -> None:
        self.requests.pop((target_group_arn, address, port), None)

    def claim_host_address(self, balancer: str, zone: str, preferred: str = "") -> str:
        claim = (balancer, zone)
        if claim not in self._claims:
            taken = set(self._claims.values())
            free = (f"127.66.9.{n}" for n in range(1, 255))
            wanted = [preferred] if preferred else []
            self._claims[claim] = next(address for address in [*wanted, *free] if address not in taken)
        return self._claims[claim]

    def release_host_addresses(self, balancer: str) -> None:
        self._claims = {claim: address for claim, address in self._claims.items() if claim[0] != balancer}

    async def close(self) -> None:
        self._listener = lambda report: None

    async def stop(self) -> None:
        self.running = False


def _speaking_http(config: BalancerConfig) -> list[Listener]:
    return [each for each in config.listeners if each.protocol in ("HTTP", "HTTPS")]


def _report(key: Key, ok: bool) -> HealthReport:
    if ok:
        return HealthReport(target_group_arn=key[0], target_id=key[1], port=key[2], state="healthy")
    return HealthReport(
        target_group_arn=key[0],
        target_id=key[1],
        port=key[2],
        state="unhealthy",
        reason_code="Target.FailedHealthChecks",
        detail="Health checks failed",
    )
