"""Instances: run, start, stop, terminate, describe. Handlers write what is desired; the instance loop makes it so."""

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from portside.api.ec2 import error
from portside.api.ec2.instance_launch import InstanceLaunch
from portside.api.ec2.instance_request import checked_user_data, kind
from portside.api.ec2.instance_wire import FIELDS, STATUS_FIELDS, instance_to, state_to, status_to
from portside.api.ec2.selection import answer, page, selected
from portside.api.ec2.unsupported import unsupported
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import instance
from portside.domain.clock import Clock, Ids
from portside.domain.ec2_instance_type import INSTANCE_TYPES
from portside.domain.instance import Instance, InstanceState
from portside.domain.record import replace
from portside.domain.refusal import Refused
from portside.domain.table import EBS_VOLUME, ENI, INSTANCE, SECURITY_GROUP, VPC
from portside.domain.vpc import instance_owner
from portside.store.interface import Put, Store, Write


class InstanceHandlers:
    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock = store, clock
        self._launch = InstanceLaunch(store, clock, ids)

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "RunInstances": self.run,
            "DescribeInstances": self.describe,
            "DescribeInstanceStatus": self.describe_status,
            "DescribeInstanceAttribute": self.describe_attribute,
            "DescribeInstanceCreditSpecifications": self.describe_credits,
            "ModifyInstanceAttribute": self.modify_attribute,
            "RebootInstances": self.reboot,
            "StartInstances": self.start,
            "StopInstances": self.stop,
            "TerminateInstances": self.terminate,
        }

    def run(self, context: RequestContext, params: Params) -> Result:
        return self._reservation(self._launch.launch(context, params))

    def describe(self, context: RequestContext, params: Params) -> Result:
        found = self._asked(context, params.get("InstanceIds") or ())
        rows, token = page(selected(found, params, FIELDS, lambda i: i.tags), params, lambda i: i.id)
        reservations: dict[str, list[Instance]] = {}
        for each in rows:
            reservations.setdefault(each.reservation_id, []).append(each)
        return answer("Reservations", [self._reservation(each) for each in reservations.values()], token)

    def describe_status(self, context: RequestContext, params: Params) -> Result:
        found = self._asked(context, params.get("InstanceIds") or ())
        if not params.get("IncludeAllInstances"):
            found = [each for each in found if each.state is InstanceState.RUNNING]
        rows, token = page(selected(found, params, STATUS_FIELDS), params, lambda i: i.id)
        return answer("InstanceStatuses", [status_to(each) for each in rows], token)

    def describe_attribute(self, context: RequestContext, params: Params) -> Result:
        (found,) = self._asked(context, [params["InstanceId"]])
        name = params["Attribute"]
        eni = self._store.get(ENI, f"{found.scope.prefix}{found.eni_id}")
        values: dict[str, tuple[str, Any]] = {
            "instanceType": ("InstanceType", {"Value": found.instance_type}),
            "userData": ("UserData", {"Value": found.user_data} if found.user_data else {}),
            "disableApiTermination": ("DisableApiTermination", {"Value": False}),
            "disableApiStop": ("DisableApiStop", {"Value": False}),
            "instanceInitiatedShutdownBehavior": ("InstanceInitiatedShutdownBehavior", {"Value": "stop"}),
            "sourceDestCheck": ("SourceDestCheck", {"Value": True}),
            "ebsOptimized": ("EbsOptimized", {"Value": False}),
            "groupSet": ("Groups", [{"GroupId": each} for each in (eni.security_group_ids if eni else ())]),
            "blockDeviceMapping": ("BlockDeviceMappings", []),
        }
        if name not in values:
            raise error.invalid_value(f"Value ({name}) for parameter attribute is invalid.")
        member, value = values[name]
        return {"InstanceId": found.id, member: value}

    def describe_credits(self, context: RequestContext, params: Params) -> Result:
        """No credits are counted: what a type has is there all the time."""
        found = self._asked(context, params.get("InstanceIds") or ())
        burstable = [each for each in found if INSTANCE_TYPES[each.instance_type].burstable]
        if params.get("InstanceIds") and len(burstable) != len(found):
            raise ServiceError("InvalidParameterCombination", "Credits are those of burstable instances only.")
        fields = {"instance-id": FIELDS["instance-id"]}
        rows, token = page(selected(burstable, params, fields), params, lambda i: i.id)
        shown = [{"InstanceId": each.id, "CpuCredits": "unlimited"} for each in rows]
        return answer("InstanceCreditSpecifications", shown, token)

    def modify_attribute(self, context: RequestContext, params: Params) -> Result:
        (found,) = self._asked(context, [params["InstanceId"]])
        asked = {name for name, value in params.items() if value is not None} - {"InstanceId", "DryRun"}
        for name in ("DisableApiTermination", "DisableApiStop", "EbsOptimized"):
            if (params.get(name) or {}).get("Value") is False:
                asked.discard(name)  # as it is
        if (params.get("SourceDestCheck") or {}).get("Value") is True:
            asked.discard("SourceDestCheck")
        for name in asked - {"InstanceType", "UserData", "Groups"}:
            raise unsupported("ModifyInstanceAttribute", name)
        writes: list[Write] = []
        changed = found
        if asked & {"InstanceType", "UserData"} and found.state is not InstanceState.STOPPED:
            raise ServiceError("IncorrectInstanceState", f"The instance '{found.id}' is not in the 'stopped' state.")
        if "InstanceType" in asked:
            changed = replace(changed, instance_type=kind({"InstanceType": params["InstanceType"].get("Value")}).name)
        if "UserData" in asked:
            given = params["UserData"].get("Value") or b""
            changed = replace(changed, user_data=checked_user_data(_text(given)))
        if "Groups" in asked:
            groups = self._launch.groups(found.scope, {"SecurityGroupIds": params["Groups"]}, {}, found.vpc_id)
            eni = self._store.get(ENI, f"{found.scope.prefix}{found.eni_id}")
            if eni is not None:
                writes.append(Put(ENI, replace(eni, security_group_ids=groups)))
        if changed is not found:
            writes.append(Put(INSTANCE, changed))
        self._store.transact(*writes)
        return {}

    def reboot(self, context: RequestContext, params: Params) -> Result:
        self._change(context, params, "", instance.rebooted)
        return {}

    def start(self, context: RequestContext, params: Params) -> Result:
        return self._change(context, params, "StartingInstances", instance.started)

    def stop(self, context: RequestContext, params: Params) -> Result:
        if params.get("Hibernate"):
            raise ServiceError("UnsupportedHibernationConfiguration", "No instance is set up for hibernation.")
        return self._change(context, params, "StoppingInstances", instance.stopped)

    def terminate(self, context: RequestContext, params: Params) -> Result:
        return self._change(context, params, "TerminatingInstances", instance.terminated)

    def _change(self, context: RequestContext, params: Params, member: str, rule: Any) -> Result:
        found = self._asked(context, params["InstanceIds"])
        if not found:
            raise error.missing_parameter("InstanceId")
        now = self._clock.now().replace(microsecond=0)
        try:
            changed = [rule(each, now=now) for each in found]
        except Refused as refused:
            raise ServiceError("IncorrectInstanceState", refused.message) from None
        self._store.transact(*(Put(INSTANCE, new) for old, new in zip(found, changed, strict=True) if new is not old))
        return {
            member: [
                {"InstanceId": new.id, "PreviousState": state_to(old), "CurrentState": state_to(new)}
                for old, new in zip(found, changed, strict=True)
            ]
        }

    def _asked(self, context: RequestContext, ids: Iterable[str]) -> list[Instance]:
        """Those named, or all. Raises: ServiceError for one that is not there."""
        now = self._clock.now()
        there = {
            each.id: each for each in self._store.scan(INSTANCE, context.prefix) if not instance.is_gone(each, now=now)
        }
        asked = list(dict.fromkeys(ids))
        for each in asked:
            if not _is_id(each):
                raise ServiceError("InvalidInstanceID.Malformed", f'Invalid id: "{each}"')
        missing = [each for each in asked if each not in there]
        if missing:
            words = (
                f"instance ID '{missing[0]}' does" if len(missing) == 1 else f"instance IDs '{', '.join(missing)}' do"
            )
            raise ServiceError("InvalidInstanceID.NotFound", f"The {words} not exist")
        return [there[each] for each in asked] if asked else list(there.values())

    def _reservation(self, instances: list[Instance]) -> dict[str, Any]:
        return {
            "ReservationId": instances[0].reservation_id,
            "OwnerId": instances[0].scope.account,
            "Groups": [],
            "Instances": [self._to_wire(each) for each in instances],
        }

    def _to_wire(self, each: Instance) -> dict[str, Any]:
        enis = sorted(self._store.find(ENI, "owner", instance_owner(each.id)), key=lambda eni: eni.device_index)
        names = {
            group_id: group.name
            for group_id in {group_id for eni in enis for group_id in eni.security_group_ids}
            if (group := self._store.get(SECURITY_GROUP, each.scope.prefix + group_id)) is not None
        }
        vpc = self._store.get(VPC, each.scope.prefix + each.vpc_id)
        return instance_to(
            each,
            enis,
            names,
            dns_hostnames=vpc is not None and vpc.dns_hostnames,
            volumes=sorted(self._store.find(EBS_VOLUME, "instance", each.id), key=lambda volume: volume.device),
        )


def _text(value: str | bytes) -> str:
    """A blob, which came as base64, as base64 again."""
    return value if isinstance(value, str) else base64.b64encode(value).decode()


def _is_id(text: str) -> bool:
    digits = text.removeprefix("i-")
    return digits != text and len(digits) in (8, 17) and all(each in "0123456789abcdef" for each in digits)
