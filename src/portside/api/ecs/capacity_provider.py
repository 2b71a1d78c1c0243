"""Capacity providers: FARGATE and FARGATE_SPOT, which every account has."""

from collections.abc import Mapping
from typing import Final

from portside.api.ecs import lookup, page, wire
from portside.api.ecs.error import invalid
from portside.aws.service import Handler, Params, RequestContext, Result
from portside.domain import arn
from portside.domain.clock import Clock
from portside.domain.fargate import CAPACITY_PROVIDERS
from portside.store.interface import Store

DESCRIBED_MOST: Final = 100
PAGE: Final = 10


class CapacityProviders:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def handlers(self) -> Mapping[str, Handler]:
        return {"DescribeCapacityProviders": self.describe}

    def describe(self, context: RequestContext, params: Params) -> Result:
        asked = params.get("capacityProviders") or ()
        if len(asked) > DESCRIBED_MOST:
            raise invalid(f"Capacity providers cannot have more than {DESCRIBED_MOST} elements.")
        if params.get("maxResults") is not None and not 1 <= params["maxResults"] <= PAGE:
            raise invalid(f"maxResults should be between 1 and {PAGE}.")
        there = list(CAPACITY_PROVIDERS)
        if params.get("cluster"):
            cluster = lookup.active_cluster(self._store, self._clock, context, params["cluster"])
            there = [each for each in there if each in cluster.capacity_providers]
        scope = lookup.scope(context)
        by_arn = {arn.capacity_provider(scope, each): each for each in there}
        names, failures = list(there), []
        if asked:
            names = sorted({found for each in asked if (found := by_arn.get(each, each)) in there})
            unknown = [each for each in asked if each not in there and each not in by_arn]
            failures = [
                wire.failure(each if each.startswith("arn:") else arn.capacity_provider(scope, each))
                for each in unknown
            ]
        shown, more = page.cut(names, params, PAGE)
        result: Result = {
            "capacityProviders": [
                {
                    "capacityProviderArn": arn.capacity_provider(scope, each),
                    "name": each,
                    "status": "ACTIVE",
                    "type": each,
                    "tags": [],
                }
                for each in shown
            ],
            "failures": failures,
        }
        if more is not None:
            result["nextToken"] = more
        return result
