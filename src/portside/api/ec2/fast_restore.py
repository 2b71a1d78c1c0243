"""Fast snapshot restores. Every volume made from a snapshot is whole before it is available, so there is nothing to
make faster: what is asked for is kept and shown as enabled."""

from typing import Any

from portside.api.ec2 import error
from portside.api.ec2.lookup import found
from portside.api.ec2.selection import answer, page, selected
from portside.api.ec2.unsupported import unsupported
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import vpc_rule
from portside.domain.clock import Clock
from portside.domain.ebs import EbsSnapshot, FastRestore
from portside.domain.record import replace
from portside.domain.table import EBS_SNAPSHOT
from portside.store.interface import Put, Store


class FastRestoreHandlers:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def handlers(self) -> dict[str, Handler]:
        return {
            "EnableFastSnapshotRestores": self.enable,
            "DisableFastSnapshotRestores": self.disable,
            "DescribeFastSnapshotRestores": self.describe,
        }

    def enable(self, context: RequestContext, params: Params) -> Result:
        return self._changed(context, params, is_on=True)

    def disable(self, context: RequestContext, params: Params) -> Result:
        return self._changed(context, params, is_on=False)

    def describe(self, context: RequestContext, params: Params) -> Result:
        rows = [
            (snapshot, each)
            for snapshot in self._store.scan(EBS_SNAPSHOT, context.prefix)
            for each in snapshot.fast_restores
        ]
        chosen = selected(rows, params, _FIELDS)
        shown, token = page(chosen, params, lambda row: f"{row[0].id}/{row[1].zone}")
        return answer("FastSnapshotRestores", [_to_wire(*row) for row in shown], token)

    def _changed(self, context: RequestContext, params: Params, *, is_on: bool) -> Result:
        if params.get("AvailabilityZoneIds"):
            raise unsupported(f"{'Enable' if is_on else 'Disable'}FastSnapshotRestores", "AvailabilityZoneIds")
        if not params.get("AvailabilityZones"):
            raise error.missing_parameter("availabilityZones")
        done: list[dict[str, Any]] = []
        failed: list[dict[str, Any]] = []
        for snapshot_id in dict.fromkeys(params["SourceSnapshotIds"]):
            errors = []
            for zone in dict.fromkeys(params["AvailabilityZones"]):
                try:
                    done.append(self._set(context, snapshot_id, zone, is_on=is_on))
                except ServiceError as refused:
                    told = {"Code": refused.code, "Message": refused.message}
                    errors.append({"AvailabilityZone": zone, "Error": told})
            if errors:
                failed.append({"SnapshotId": snapshot_id, "FastSnapshotRestoreStateErrors": errors})
        return {"Successful": done, "Unsuccessful": failed}

    def _set(self, context: RequestContext, snapshot_id: str, zone: str, *, is_on: bool) -> dict[str, Any]:
        """Raises: ServiceError."""
        snapshot = found(self._store, context, EBS_SNAPSHOT, snapshot_id)
        if zone not in [f"{context.region}{letter}" for letter in vpc_rule.ZONE_LETTERS]:
            raise ServiceError("InvalidZone.NotFound", f"The zone '{zone}' does not exist.")
        known = next((each for each in snapshot.fast_restores if each.zone == zone), None)
        if not is_on and known is None:
            words = f"Fast snapshot restores are not enabled for {snapshot_id} in {zone}."
            raise ServiceError("InvalidFastSnapshotRestore.State", words)
        made = known or FastRestore(zone=zone, enabled_at=self._clock.now())
        others = tuple(each for each in snapshot.fast_restores if each.zone != zone)
        changed = replace(snapshot, fast_restores=(*others, made) if is_on else others)
        self._store.transact(Put(EBS_SNAPSHOT, changed))
        return {**_to_wire(snapshot, made), "State": "enabled" if is_on else "disabled"}


def _to_wire(snapshot: EbsSnapshot, each: FastRestore) -> dict[str, Any]:
    return {
        "SnapshotId": snapshot.id,
        "AvailabilityZone": each.zone,
        "State": "enabled",
        "StateTransitionReason": "Client.UserInitiated - Lifecycle state transition",
        "OwnerId": snapshot.scope.account,
        "EnablingTime": each.enabled_at,
        "OptimizingTime": each.enabled_at,
        "EnabledTime": each.enabled_at,
    }


_FIELDS = {
    "availability-zone": lambda row: [row[1].zone],
    "owner-id": lambda row: [row[0].scope.account],
    "snapshot-id": lambda row: [row[0].id],
    "state": lambda row: ["enabled"],
}
