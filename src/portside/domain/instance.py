"""EC2 instances: what they are and how their state goes. Container instances of ECS stand in `container_instance`.

The API writes the states that ask for something (pending, stopping, shutting-down), the instance loop those that say it
is done (running, stopped, terminated).
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from portside.domain.record import Record, Scope, Tags, replace
from portside.domain.refusal import RefusalKind, Refused


class InstanceState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    SHUTTING_DOWN = "shutting-down"
    TERMINATED = "terminated"
    STOPPING = "stopping"
    STOPPED = "stopped"


STATE_CODES: Final = {
    InstanceState.PENDING: 0,
    InstanceState.RUNNING: 16,
    InstanceState.SHUTTING_DOWN: 32,
    InstanceState.TERMINATED: 48,
    InstanceState.STOPPING: 64,
    InstanceState.STOPPED: 80,
}
"""https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceState.html"""
TERMINATED_SEEN: Final = timedelta(hours=1)
"""A terminated instance is shown for a short while; AWS's guide says an hour."""

USER_SHUTDOWN: Final = "Client.UserInitiatedShutdown"
INTERNAL_ERROR: Final = "Server.InternalError"


class Instance(Record, frozen=True, kw_only=True):
    """`user_data` is base64, as given. `registered`: since it last started, it has joined its cluster."""

    scope: Scope
    id: str
    reservation_id: str
    image_id: str
    instance_type: str
    eni_id: str
    subnet_id: str
    vpc_id: str
    zone: str
    address: str
    launch_index: int = 0
    public_address_asked: bool = False
    user_data: str = ""
    instance_profile_arn: str | None = None
    client_token: str | None = None
    request_digest: str = ""  # tells a repetition from another request with the same token
    tags: Tags = ()
    launched_at: datetime
    state: InstanceState = InstanceState.PENDING
    reason_code: str = ""
    reason_at: datetime | None = None
    registered: bool = False
    reboot_asked: bool = False
    ended_at: datetime | None = None

    @property
    def key(self) -> str:
        return f"{self.scope.prefix}{self.id}"


def started(instance: Instance, *, now: datetime) -> Instance:
    """Asked to start; one that runs already is returned as it is. Raises Refused CONFLICT."""
    if instance.state in (InstanceState.RUNNING, InstanceState.PENDING):
        return instance
    if instance.state is not InstanceState.STOPPED:
        raise _wrong_state(instance, "started")
    return replace(
        instance, state=InstanceState.PENDING, launched_at=now, registered=False, reason_code="", reason_at=None
    )


def stopped(instance: Instance, *, now: datetime) -> Instance:
    """Asked to stop. Raises Refused CONFLICT."""
    if instance.state in (InstanceState.STOPPING, InstanceState.STOPPED):
        return instance
    if instance.state is not InstanceState.RUNNING:
        raise _wrong_state(instance, "stopped")
    return replace(instance, state=InstanceState.STOPPING, reason_code=USER_SHUTDOWN, reason_at=now)


def rebooted(instance: Instance, *, now: datetime) -> Instance:
    """Asked to end what runs on it and begin anew. Raises Refused CONFLICT."""
    if instance.state is not InstanceState.RUNNING:
        raise _wrong_state(instance, "rebooted")
    return replace(instance, reboot_asked=True)


def terminated(instance: Instance, *, now: datetime) -> Instance:
    """Asked to end for good; idempotent."""
    if instance.state in (InstanceState.SHUTTING_DOWN, InstanceState.TERMINATED):
        return instance
    return replace(instance, state=InstanceState.SHUTTING_DOWN, reason_code=USER_SHUTDOWN, reason_at=now)


def failed(instance: Instance, *, now: datetime) -> Instance:
    """The machine can not have it: it ends, as EC2 ends one that can not be launched."""
    if instance.state is not InstanceState.PENDING:
        return instance
    return replace(instance, state=InstanceState.SHUTTING_DOWN, reason_code=INTERNAL_ERROR, reason_at=now)


def done(instance: Instance, *, now: datetime) -> Instance:
    """What was asked for has come true on the machine."""
    match instance.state:
        case InstanceState.PENDING:
            return replace(instance, state=InstanceState.RUNNING, reboot_asked=False)
        case InstanceState.STOPPING:
            return replace(instance, state=InstanceState.STOPPED, registered=False)
        case InstanceState.SHUTTING_DOWN:
            return replace(instance, state=InstanceState.TERMINATED, registered=False, ended_at=now)
        case _:
            return instance


def is_gone(instance: Instance, *, now: datetime) -> bool:
    """Whether a terminated instance is not to be seen any more."""
    return instance.ended_at is not None and now - instance.ended_at >= TERMINATED_SEEN


def _wrong_state(instance: Instance, verb: str) -> Refused:
    return Refused(
        RefusalKind.CONFLICT,
        f"The instance '{instance.id}' is not in a state from which it can be {verb}.",
        "instance",
    )
