"""Service deployments and revisions: what a service was to run, how it went, and going back on request."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from portside.api.ecs import lookup, page, wire
from portside.api.ecs.error import invalid, service_not_found
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import arn
from portside.domain.clock import Clock, Ids
from portside.domain.fargate import unsupported
from portside.domain.record import replace
from portside.domain.service import breaker, change, event, rollout
from portside.domain.service.record import Service
from portside.domain.service.rollout import ServiceDeployment
from portside.domain.table import SERVICE, SERVICE_DEPLOYMENT, SERVICE_REVISION, TASK
from portside.domain.task.record import Task
from portside.store.interface import Delete, Put, Store, Write

DESCRIBED_MOST: Final = 20
STOPPED_BY_USER: Final = "Service deployment was stopped by a user"


class ServiceDeployments:
    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "ListServiceDeployments": self.list,
            "DescribeServiceDeployments": self.describe,
            "DescribeServiceRevisions": self.describe_revisions,
            "StopServiceDeployment": self.stop,
        }

    def list(self, context: RequestContext, params: Params) -> Result:
        cluster = lookup.any_cluster(self._store, self._clock, context, params.get("cluster")).name
        name = lookup.in_cluster(context, cluster, params["service"], "service")
        if self._store.get(SERVICE, f"{context.prefix}{cluster}/{name}") is None:
            raise service_not_found()
        wanted, created = params.get("status") or (), params.get("createdAt") or {}
        found = [
            each
            for each in self._store.scan(SERVICE_DEPLOYMENT, f"{context.prefix}{cluster}/{name}/")
            if (not wanted or each.status in wanted)
            and ("before" not in created or each.created_at < created["before"])
            and ("after" not in created or each.created_at > created["after"])
        ]
        found.sort(key=lambda each: (each.created_at, each.id), reverse=True)
        after = page.after(params)
        ids = [each.id for each in found]
        first = ids.index(after) + 1 if after in ids else 0
        shown = found[first : first + page.size(params)]
        result: Result = {"serviceDeployments": [_brief(each) for each in shown]}
        if first + len(shown) < len(found):
            result["nextToken"] = page.token(shown[-1].id)
        return result

    def describe(self, context: RequestContext, params: Params) -> Result:
        described, failures = [], []
        for named in _asked(params["serviceDeploymentArns"], "serviceDeploymentArns"):
            record = self._deployment(context, named)
            if record is None:
                failures.append(wire.failure(named))
            else:
                described.append(self._shape(record))
        return {"serviceDeployments": described, "failures": failures}

    def describe_revisions(self, context: RequestContext, params: Params) -> Result:
        described, failures = [], []
        for named in _asked(params["serviceRevisionArns"], "serviceRevisionArns"):
            key = _key(context, named, "service-revision")
            revision = self._store.get(SERVICE_REVISION, key) if key is not None else None
            if revision is None:
                failures.append(wire.failure(named))
            else:
                described.append(wire.revision_to(revision))
        return {"serviceRevisions": described, "failures": failures}

    def stop(self, context: RequestContext, params: Params) -> Result:
        named = params["serviceDeploymentArn"]
        if params.get("stopType") == "ABORT":
            raise unsupported("stopType ABORT")
        record = self._deployment(context, named)
        if record is None:
            raise ServiceError("ServiceDeploymentNotFoundException", "The service deployment was not found.")
        stored = self._store.read(SERVICE, f"{context.prefix}{record.cluster}/{record.service}")
        current = change.primary(stored.value) if stored is not None else None
        if stored is None or current is None or record.status != "IN_PROGRESS" or stored.value.rollout_id != record.id:
            raise ServiceError(
                "ConflictException", f"The service deployment is {record.status}: only one in progress can be stopped."
            )
        if breaker.candidate(stored.value, current) is None:
            raise ServiceError("ConflictException", breaker.NO_CANDIDATE)
        now = self._clock.now()
        given_up = breaker.given_up(
            stored.value, current, by=STOPPED_BY_USER, why="stopped by a user.", roll_back=True, now=now
        )
        ids = [self._ids.uuid() for _ in given_up.messages]
        service = event.with_events(given_up.service, given_up.messages, ids, now=now)
        self._store.transact(
            Put(SERVICE, service, stored.version),
            Put(SERVICE_DEPLOYMENT, rollout.followed(record, service, now=now)),
        )
        return {"serviceDeploymentArn": named}

    def _deployment(self, context: RequestContext, named: str) -> ServiceDeployment | None:
        key = _key(context, named, "service-deployment")
        return self._store.get(SERVICE_DEPLOYMENT, key) if key is not None else None

    def _shape(self, record: ServiceDeployment) -> wire.Wire:
        key = f"{record.scope.prefix}{record.cluster}/{record.service}"
        service = self._store.get(SERVICE, key)
        tasks = self._store.find(TASK, "service_live", key)
        shape = {
            **_brief(record),
            "updatedAt": record.updated_at,
            "targetServiceRevision": _summary(record, record.target, service, tasks),
            "sourceServiceRevisions": [_summary(record, each, service, tasks) for each in record.sources],
            "deploymentConfiguration": wire.deployment_configuration_to(
                record.breaker,
                record.alarms,
                minimum=record.minimum_healthy_percent,
                maximum=record.maximum_percent,
            ),
            "deploymentCircuitBreaker": {
                "status": rollout.breaker_status(record),
                "failureCount": record.failures,
                "threshold": breaker.threshold(record.breaker, record.desired_count),
            },
            "alarms": {
                "status": rollout.alarm_status(record),
                "alarmNames": list(record.alarms.names),
                "triggeredAlarmNames": list(record.triggered),
            },
        }
        shape.pop("targetServiceRevisionArn")
        if record.stopped_at is not None:
            shape["stoppedAt"] = record.stopped_at
        if record.rollback is not None:
            shape["rollback"] = {
                "reason": record.rollback.reason,
                "startedAt": record.rollback.started_at,
                "serviceRevisionArn": arn.service_revision(
                    record.scope, record.cluster, record.service, record.rollback.revision
                ),
            }
        return shape


def begun(
    store: Store, service: Service, *, rollout_id: str, before: Service | None, now: datetime
) -> tuple[Service, list[Write]]:
    """The service, with a new PRIMARY deployment, under a new service deployment; and what is to be stored with it in
    the same commit. Of older ones as many are kept as `rollout.KEPT`."""
    service = replace(service, rollout_id=rollout_id)
    record, revision = rollout.begun(service, rollout_id, before=before, now=now)
    writes: list[Write] = [Put(SERVICE_DEPLOYMENT, record), Put(SERVICE_REVISION, revision)]
    older = sorted(store.scan(SERVICE_DEPLOYMENT, f"{service.key}/"), key=lambda each: each.created_at)
    for each in older[: max(0, len(older) + 1 - rollout.KEPT)]:
        writes.append(Delete(SERVICE_DEPLOYMENT, SERVICE_DEPLOYMENT.key(each)))
        writes.append(Delete(SERVICE_REVISION, f"{service.key}/{each.target}"))
    writes += [
        Put(SERVICE_DEPLOYMENT, rollout.superseded(each, now=now))
        for each in older[max(0, len(older) + 1 - rollout.KEPT) :]
        if each.status not in rollout.ENDED
    ]
    return service, writes


def _asked(named: Sequence[str], member: str) -> Iterable[str]:
    if not named:
        raise invalid(f"{member} can not be empty.")
    if len(named) > DESCRIBED_MOST:
        raise invalid(f"{member} can not have more than {DESCRIBED_MOST} elements.")
    return named


def _key(context: RequestContext, named: str, kind: str) -> str | None:
    """The record's key; None if it is no such ARN of this account and region."""
    parsed = arn.parse(named)
    parts = parsed.resource.split("/") if parsed is not None else []
    if parsed is None or parsed.service != "ecs" or len(parts) != 4 or parts[0] != kind:
        raise invalid(f"Invalid ARN: {named}")
    if (parsed.account, parsed.region) != (context.account, context.region):
        return None
    return f"{context.prefix}{parts[1]}/{parts[2]}/{parts[3]}"


def _brief(record: ServiceDeployment) -> wire.Wire:
    shape: wire.Wire = {
        "serviceDeploymentArn": arn.service_deployment(record.scope, record.cluster, record.service, record.id),
        "serviceArn": arn.service(record.scope, record.cluster, record.service),
        "clusterArn": arn.cluster(record.scope, record.cluster),
        "startedAt": record.created_at,
        "createdAt": record.created_at,
        "targetServiceRevisionArn": arn.service_revision(record.scope, record.cluster, record.service, record.target),
        "status": record.status,
    }
    if record.reason:
        shape["statusReason"] = record.reason
    if record.finished_at is not None:
        shape["finishedAt"] = record.finished_at
    return shape


def _summary(record: ServiceDeployment, revision: str, service: Service | None, tasks: Sequence[Task]) -> wire.Wire:
    deployment_id = f"ecs-svc/{revision}"
    found = next((each for each in service.deployments if each.id == deployment_id), None) if service else None
    running, pending = wire.counts_of(tasks).get(deployment_id, (0, 0))
    return {
        "arn": arn.service_revision(record.scope, record.cluster, record.service, revision),
        "requestedTaskCount": found.desired_count if found is not None else 0,
        "runningTaskCount": running,
        "pendingTaskCount": pending,
    }
