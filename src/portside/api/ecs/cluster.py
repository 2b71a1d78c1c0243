"""Clusters: create, describe, list, update, delete, and their capacity providers."""

import json
from collections.abc import Mapping
from typing import Any, Final

from portside.api.ecs import account_setting, lookup, page, wire
from portside.api.ecs.error import invalid
from portside.api.ecs.field import is_asked_for
from portside.aws.service import Handler, Params, RequestContext, Result
from portside.domain import arn, cluster_rule, tag_rule
from portside.domain.clock import Clock
from portside.domain.cluster import Cluster, Setting
from portside.domain.fargate import unsupported
from portside.domain.record import replace
from portside.domain.table import CLUSTER, CONTAINER_INSTANCE, SERVICE, TASK
from portside.domain.task.record import TaskStatus
from portside.store.interface import Delete, Put, Store

DESCRIBED_MOST: Final = 100
INCONSISTENT: Final = (
    "Arguments on this idempotent request are inconsistent with arguments used in previous request(s)."
)


class Clusters:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "CreateCluster": self.create,
            "DescribeClusters": self.describe,
            "ListClusters": self.list,
            "UpdateCluster": self.update,
            "UpdateClusterSettings": self.update_settings,
            "PutClusterCapacityProviders": self.put_capacity_providers,
            "DeleteCluster": self.delete,
        }

    def create(self, context: RequestContext, params: Params) -> Result:
        name = params.get("clusterName") or lookup.DEFAULT_CLUSTER
        cluster_rule.check_name(name)
        _refuse(params, "serviceConnectDefaults")
        settings = cluster_rule.checked_settings(wire.settings_from(params.get("settings")))
        if not params.get("settings"):
            insights, _ = account_setting.effective(self._store, context, "containerInsights")
            settings = (Setting(name="containerInsights", value=insights),)
        providers = tuple(params.get("capacityProviders") or ())
        strategy = wire.shares_from(params.get("defaultCapacityProviderStrategy"))
        cluster_rule.check_capacity(providers, strategy)
        tags = wire.tags_from(params.get("tags"))
        tag_rule.check(tags)
        configuration = _configuration(params)
        existing = self._store.get(CLUSTER, context.prefix + name)
        if existing is not None and existing.status == "ACTIVE":
            for member, asked, has in (
                ("settings", settings, existing.settings),
                ("capacityProviders", providers, existing.capacity_providers),
                ("defaultCapacityProviderStrategy", strategy, existing.default_capacity_provider_strategy),
                ("configuration", configuration, existing.configuration_json),
            ):
                if params.get(member) and asked != has:
                    raise invalid(INCONSISTENT)
            return {"cluster": self._to_wire(existing, frozenset(("SETTINGS", "TAGS", "CONFIGURATIONS")))}
        now = self._clock.now()
        cluster = Cluster(
            scope=lookup.scope(context),
            name=name,
            settings=settings,
            configuration_json=configuration,
            capacity_providers=providers,
            default_capacity_provider_strategy=strategy,
            tags=tags,
            created_at=now,
        )
        gone = [
            Delete(CLUSTER, CLUSTER.key(each))
            for each in self._store.scan(CLUSTER, context.prefix)
            if each.name != name and cluster_rule.is_gone(each, now=now)
        ]
        self._store.transact(Put(CLUSTER, cluster), *gone)
        return {"cluster": self._to_wire(cluster, frozenset(("SETTINGS", "TAGS", "CONFIGURATIONS")))}

    def describe(self, context: RequestContext, params: Params) -> Result:
        asked = params.get("clusters") or [lookup.DEFAULT_CLUSTER]
        if len(asked) > DESCRIBED_MOST:
            raise invalid(f"Clusters cannot have more than {DESCRIBED_MOST} elements.")
        include = frozenset(params.get("include") or ())
        now = self._clock.now()
        clusters, failures = [], []
        for named in asked:
            name = lookup.cluster_name(context, named)
            cluster = self._store.get(CLUSTER, context.prefix + name)
            if cluster is None or cluster_rule.is_gone(cluster, now=now):
                failures.append(wire.failure(arn.cluster(lookup.scope(context), name)))
            else:
                clusters.append(self._to_wire(cluster, include))
        return {"clusters": clusters, "failures": failures}

    def list(self, context: RequestContext, params: Params) -> Result:
        names = [each.name for each in self._store.scan(CLUSTER, context.prefix) if each.status == "ACTIVE"]
        shown, more = page.cut(names, params)
        result: Result = {"clusterArns": [arn.cluster(lookup.scope(context), name) for name in shown]}
        if more is not None:
            result["nextToken"] = more
        return result

    def update(self, context: RequestContext, params: Params) -> Result:
        cluster = lookup.active_cluster(self._store, self._clock, context, params["cluster"])
        _refuse(params, "serviceConnectDefaults")
        if params.get("settings"):
            settings = cluster_rule.checked_settings(wire.settings_from(params["settings"]))
            cluster = replace(cluster, settings=settings)
        configuration = _configuration(params)
        if configuration is not None:
            cluster = replace(cluster, configuration_json=configuration)
        self._store.transact(Put(CLUSTER, cluster))
        return {"cluster": self._to_wire(cluster, frozenset(("SETTINGS", "TAGS", "CONFIGURATIONS")))}

    def update_settings(self, context: RequestContext, params: Params) -> Result:
        cluster = lookup.active_cluster(self._store, self._clock, context, params["cluster"])
        if not params["settings"]:
            raise invalid("Settings cannot be empty.")
        settings = cluster_rule.checked_settings(wire.settings_from(params["settings"]))
        cluster = replace(cluster, settings=settings)
        self._store.transact(Put(CLUSTER, cluster))
        return {"cluster": self._to_wire(cluster, frozenset(("SETTINGS", "TAGS")))}

    def put_capacity_providers(self, context: RequestContext, params: Params) -> Result:
        cluster = lookup.active_cluster(self._store, self._clock, context, params["cluster"])
        providers = tuple(params["capacityProviders"])
        strategy = wire.shares_from(params["defaultCapacityProviderStrategy"])
        cluster_rule.check_capacity(providers, strategy)
        removed = set(cluster.capacity_providers) - set(providers)
        if removed:
            cluster_rule.check_removable(removed, self._used_providers(cluster))
        cluster = replace(cluster, capacity_providers=providers, default_capacity_provider_strategy=strategy)
        self._store.transact(Put(CLUSTER, cluster))
        return {"cluster": self._to_wire(cluster, frozenset(("SETTINGS", "TAGS", "ATTACHMENTS")))}

    def _used_providers(self, cluster: Cluster) -> set[str | None]:
        prefix = f"{cluster.scope.prefix}{cluster.name}"
        used = {task.capacity_provider for task in self._store.find(TASK, "live", prefix)}
        for service in self._store.scan(SERVICE, f"{prefix}/"):
            for deployment in service.deployments:
                used |= {share.capacity_provider for share in deployment.capacity_provider_strategy}
        return used

    def delete(self, context: RequestContext, params: Params) -> Result:
        cluster = lookup.any_cluster(self._store, self._clock, context, params["cluster"])
        if cluster.status == "ACTIVE":
            prefix = f"{context.prefix}{cluster.name}"
            cluster_rule.check_deletable(
                services=sum(each.status != "INACTIVE" for each in self._store.scan(SERVICE, f"{prefix}/")),
                tasks=len(self._store.find(TASK, "live", prefix)),
                instances=sum(1 for _ in self._store.scan(CONTAINER_INSTANCE, f"{prefix}/")),
            )
            cluster = replace(cluster, status="INACTIVE", deleted_at=self._clock.now())
            self._store.transact(Put(CLUSTER, cluster))
        return {"cluster": self._to_wire(cluster, frozenset(("SETTINGS", "TAGS")))}

    def _to_wire(self, cluster: Cluster, include: frozenset[str]) -> wire.Wire:
        prefix = f"{cluster.scope.prefix}{cluster.name}"
        counts = {"EC2": [0, 0], "FARGATE": [0, 0]}
        for task in self._store.find(TASK, "live", prefix):
            if task.last_status is TaskStatus.RUNNING:
                counts[task.launch_type][0] += 1
            elif task.last_status < TaskStatus.RUNNING:
                counts[task.launch_type][1] += 1
        services = {"ACTIVE": [0, 0], "DRAINING": [0, 0], "INACTIVE": [0, 0]}
        for service in self._store.scan(SERVICE, f"{prefix}/"):
            on_ec2 = bool(service.deployments) and service.deployments[0].launch_type == "EC2"
            services[service.status][0 if on_ec2 else 1] += 1
        described = wire.cluster_to(
            cluster,
            running=counts["EC2"][0] + counts["FARGATE"][0],
            pending=counts["EC2"][1] + counts["FARGATE"][1],
            services=sum(services["ACTIVE"]),
            instances=sum(1 for _ in self._store.scan(CONTAINER_INSTANCE, f"{prefix}/")),
            include=include,
        )
        if "STATISTICS" in include:
            described["statistics"] = [
                {"name": name, "value": str(value)}
                for name, value in (
                    ("runningEC2TasksCount", counts["EC2"][0]),
                    ("runningFargateTasksCount", counts["FARGATE"][0]),
                    ("pendingEC2TasksCount", counts["EC2"][1]),
                    ("pendingFargateTasksCount", counts["FARGATE"][1]),
                    ("activeEC2ServiceCount", services["ACTIVE"][0]),
                    ("activeFargateServiceCount", services["ACTIVE"][1]),
                    ("drainingEC2ServiceCount", services["DRAINING"][0]),
                    ("drainingFargateServiceCount", services["DRAINING"][1]),
                )
            ]
        return described


def _refuse(params: Params, member: str) -> None:
    if is_asked_for(params.get(member)):
        raise unsupported(member)


def _configuration(params: Params) -> str | None:
    """The configuration as JSON, to be shown again; what it says is about ECS Exec, which no task can use yet."""
    configuration: Mapping[str, Any] | None = params.get("configuration")
    if not is_asked_for(configuration) or configuration is None:
        return None
    if is_asked_for(configuration.get("managedStorageConfiguration")):
        raise unsupported("configuration.managedStorageConfiguration")
    return json.dumps(configuration)
