"""ECS services: create, update, describe, list, delete. Handlers write what is desired; the scheduler makes it so."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from portside.api.ecs import (
    lookup,
    network,
    page,
    placement,
    service_deployment,
    service_registry,
    volume_configuration,
    wire,
)
from portside.api.ecs.error import invalid, service_not_found
from portside.api.ecs.field import is_asked_for
from portside.aws.service import Handler, Params, RequestContext, Result
from portside.domain import arn, classic_load_balancer_rule, fargate, pace, tag_rule
from portside.domain.clock import Clock, Ids
from portside.domain.cluster import CapacityProviderShare, Cluster
from portside.domain.fargate import unsupported
from portside.domain.load_balancer import Forward
from portside.domain.record import replace
from portside.domain.refusal import RefusalKind, Refused
from portside.domain.service import balance, breaker, change
from portside.domain.service.record import CircuitBreaker, Deployment, DeploymentAlarms, Service
from portside.domain.table import ALARM, CLASSIC_LOAD_BALANCER, LISTENER, RULE, SERVICE, TARGET_GROUP, TASK
from portside.domain.task.record import TargetRef
from portside.domain.task_definition import TaskDefinition
from portside.store.interface import Put, Store, Write

DESCRIBED_MOST: Final = 10
UNFORCED: Final = (
    "When switching from launch type to capacity provider strategy on an existing service, or making a change to a "
    "capacity provider strategy on a service that is already using one, you must force a new deployment."
)
"""Source: as AWS answers, reported in pipe-cd/pipecd pull request 6385."""
PAGE: Final = 10
"""Services on a page of ListServices, unless asked otherwise."""

REFUSED: Final = (
    "gatewayConnectors",
    "monitoring",
    "vpcLatticeConfigurations",
)
"""Members of CreateService and UpdateService that Portside does not implement yet."""
_STRATEGY_MEMBERS: Final = ("canaryConfiguration", "earlySuccessCriteria", "lifecycleHooks", "linearConfiguration")


class Services:
    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "CreateService": self.create,
            "UpdateService": self.update,
            "DescribeServices": self.describe,
            "ListServices": self.list,
            "DeleteService": self.delete,
        }

    def create(self, context: RequestContext, params: Params) -> Result:
        cluster = lookup.active_cluster(self._store, self._clock, context, params.get("cluster"))
        name = params["serviceName"]
        change.check_name(name)
        digest = _digest(params)
        existing = self._store.get(SERVICE, f"{context.prefix}{cluster.name}/{name}")
        if existing is not None and existing.status == "DRAINING":
            raise invalid("Unable to Start a service that is still Draining.")
        if existing is not None and existing.status == "ACTIVE":
            if existing.creation_digest != digest:
                raise invalid("Creation of service was not idempotent.")
            return {"service": self._to_wire(existing, with_tags=True)}
        _refuse(params)
        if not params.get("taskDefinition"):
            raise invalid("TaskDefinition can not be blank.")
        definition = lookup.runnable_definition(self._store, context, params["taskDefinition"])
        lookup.check_passed_roles(self._store, context, definition.task_role_arn, definition.execution_role_arn)
        launch = placement.asked_launch(params, cluster)
        is_daemon = params.get("schedulingStrategy") == "DAEMON"
        desired_count = 0 if is_daemon else params.get("desiredCount")
        if is_daemon:
            _check_daemon(launch.type, params)
        elif desired_count is None:
            raise invalid("desiredCount is required for services with the REPLICA scheduling strategy.")
        assert desired_count is not None
        change.check_count(desired_count)
        platform_version = placement.check_launch(launch, definition, params)
        request = network.checked_network(self._store, context, params, definition.network_mode)
        if launch.type == "EC2":
            placement.check_on_instance(request)
        if params.get("role") and definition.network_mode == "awsvpc":
            raise invalid("You cannot specify an IAM role for services that require a service linked role.")
        targets = self._targets(context, params.get("loadBalancers") or (), definition)
        registries = service_registry.checked(self._store, context, params.get("serviceRegistries") or (), definition)
        managed = volume_configuration.checked(
            params.get("volumeConfigurations"), definition, on_fargate=launch.type == "FARGATE", of_service=True
        )
        tags = wire.tags_from(params.get("tags"))
        tag_rule.check(tags)
        pace.check(tags)
        now = self._clock.now()
        service = _configured(
            Service(
                scope=cluster.scope,
                cluster=cluster.name,
                name=name,
                desired_count=desired_count,
                scheduling_strategy="DAEMON" if is_daemon else "REPLICA",
                minimum_healthy_percent=0 if is_daemon else 100,
                maximum_percent=100 if is_daemon else 200,
                tags=tags,
                platform_version=params.get("platformVersion") or "LATEST",
                placement_strategies=placement.asked_strategies(params),
                placement_constraints=placement.asked_constraints(params),
                creation_digest=digest,
                created_at=now,
                created_by=context.principal_arn,
            ),
            params,
            has_targets=bool(targets),
        )
        service = _rebalanced(service, params.get("availabilityZoneRebalancing"), targets, is_new=True)
        self._check_alarms(service)
        service = change.deployed(
            service,
            Deployment(
                id=self._deployment_id(),
                status="PRIMARY",
                task_definition_arn=arn.task_definition(definition.scope, definition.family, definition.revision),
                desired_count=desired_count,
                network=request,
                launch_type=launch.type,
                platform_version=platform_version,
                capacity_provider_strategy=launch.strategy,
                targets=targets,
                registries=registries,
                managed_volume=managed,
                created_at=now,
                updated_at=now,
            ),
        )
        service, writes = service_deployment.begun(
            self._store, service, rollout_id=self._ids.hex(20), before=None, now=now
        )
        self._store.transact(Put(SERVICE, service), *writes)
        return {"service": self._to_wire(service, with_tags=True)}

    def update(self, context: RequestContext, params: Params) -> Result:
        cluster = lookup.active_cluster(self._store, self._clock, context, params.get("cluster"))
        service = self._found(context, cluster.name, params["service"])
        current = change.primary(service)
        if service.status != "ACTIVE" or current is None:
            raise Refused(RefusalKind.CONFLICT, "Service was not ACTIVE.", "service")
        _refuse(params)
        placement.check_launch_members(current.launch_type, params)
        if params.get("placementStrategy") is not None:
            service = replace(service, placement_strategies=placement.asked_strategies(params))
        if params.get("placementConstraints") is not None:
            service = replace(service, placement_constraints=placement.asked_constraints(params))
        now = self._clock.now()
        if service.scheduling_strategy == "DAEMON":
            _check_daemon(current.launch_type, params)
        elif params.get("desiredCount") is not None:
            change.check_count(params["desiredCount"])
            service = change.scaled(service, params["desiredCount"], now=now)
        wanted = self._wanted(context, params, service, current)
        if params.get("capacityProviderStrategy") is not None:
            wanted = replace(wanted, capacity_provider_strategy=_checked_strategy(params, cluster, current))
        if params.get("platformVersion"):
            service = replace(service, platform_version=params["platformVersion"])
        service = _configured(service, params, has_targets=bool(wanted.targets))
        service = _rebalanced(service, params.get("availabilityZoneRebalancing"), wanted.targets, is_new=False)
        self._check_alarms(service)
        writes: list[Write] = []
        if wanted != current or params.get("forceNewDeployment"):
            deployment = replace(wanted, id=self._deployment_id(), created_at=now, updated_at=now)
            service, writes = service_deployment.begun(
                self._store, change.deployed(service, deployment), rollout_id=self._ids.hex(20), before=service, now=now
            )
        service = replace(service, creation_digest="")
        self._store.transact(Put(SERVICE, service), *writes)
        return {"service": self._to_wire(service, with_tags=True)}

    def describe(self, context: RequestContext, params: Params) -> Result:
        cluster = lookup.any_cluster(self._store, self._clock, context, params.get("cluster")).name
        asked = params["services"]
        if not asked:
            raise invalid("Services cannot be empty.")
        if len(asked) > DESCRIBED_MOST:
            raise invalid(f"Services cannot have more than {DESCRIBED_MOST} elements.")
        with_tags = "TAGS" in (params.get("include") or ())
        services, failures = [], []
        for named in asked:
            name = lookup.in_cluster(context, cluster, named, "service")
            service = self._store.get(SERVICE, f"{context.prefix}{cluster}/{name}")
            if service is None:
                failures.append(wire.failure(arn.service(lookup.scope(context), cluster, name)))
            else:
                services.append(self._to_wire(service, with_tags=with_tags))
        return {"services": services, "failures": failures}

    def list(self, context: RequestContext, params: Params) -> Result:
        cluster = lookup.any_cluster(self._store, self._clock, context, params.get("cluster")).name
        launch_type, strategy = params.get("launchType"), params.get("schedulingStrategy")
        managed_by_ecs = params.get("resourceManagementType") == "ECS"
        names = [
            service.name
            for service in self._store.scan(SERVICE, f"{context.prefix}{cluster}/")
            if service.status != "INACTIVE"
            and (not launch_type or any(each.launch_type == launch_type for each in service.deployments))
            and (not strategy or service.scheduling_strategy == strategy)
            and not managed_by_ecs
        ]
        shown, more = page.cut(names, params, PAGE)
        scope = lookup.scope(context)
        result: Result = {"serviceArns": [arn.service(scope, cluster, name) for name in shown]}
        if more is not None:
            result["nextToken"] = more
        return result

    def delete(self, context: RequestContext, params: Params) -> Result:
        cluster = lookup.any_cluster(self._store, self._clock, context, params.get("cluster"))
        service = self._found(context, cluster.name, params["service"])
        if service.status == "INACTIVE":
            raise service_not_found()
        gone = change.deleted(service, force=bool(params.get("force")), now=self._clock.now())
        if gone is not service:
            self._store.transact(Put(SERVICE, gone))
        return {"service": self._to_wire(gone, with_tags=True)}

    def _found(self, context: RequestContext, cluster: str, named: str) -> Service:
        name = lookup.in_cluster(context, cluster, named, "service")
        service = self._store.get(SERVICE, f"{context.prefix}{cluster}/{name}")
        if service is None:
            raise service_not_found()
        return service

    def _to_wire(self, service: Service, *, with_tags: bool) -> wire.Wire:
        return wire.service_to(service, self._store.find(TASK, "service_live", service.key), with_tags=with_tags)

    def _deployment_id(self) -> str:
        return f"ecs-svc/{self._ids.number(19)}"

    def _wanted(self, context: RequestContext, params: Params, service: Service, current: Deployment) -> Deployment:
        """The PRIMARY deployment with what the request changes; equal to `current` if it changes nothing of it."""
        named = params.get("taskDefinition") or current.task_definition_arn
        if named == current.task_definition_arn and not params.get("forceNewDeployment"):
            # A service goes on with a revision that has been deregistered since.
            definition = lookup.definition(self._store, context, named)
            if definition is None:
                raise invalid("TaskDefinition not found.")
        else:
            definition = lookup.runnable_definition(self._store, context, named)
            lookup.check_passed_roles(self._store, context, definition.task_role_arn, definition.execution_role_arn)
        if current.launch_type not in definition.compatibilities:
            raise invalid(f"Task definition does not support launch_type {current.launch_type}.")
        request = current.network
        if params.get("networkConfiguration"):
            request = network.checked_network(self._store, context, params, definition.network_mode)
            if current.launch_type == "EC2":
                placement.check_on_instance(request)
        targets = current.targets
        if params.get("loadBalancers") is not None:
            targets = self._targets(context, params["loadBalancers"], definition)
        else:
            _check_containers(targets, definition)
            targets = self._at_host_ports(context, targets, definition)
        registries = current.registries
        if params.get("serviceRegistries") is not None:
            registries = service_registry.checked(self._store, context, params["serviceRegistries"], definition)
        elif named != current.task_definition_arn:
            service_registry.check_again(self._store, context, registries, definition)
        managed = current.managed_volume
        if params.get("volumeConfigurations") is not None:
            managed = volume_configuration.checked(
                params["volumeConfigurations"],
                definition,
                on_fargate=current.launch_type == "FARGATE",
                of_service=True,
            )
        elif named != current.task_definition_arn:
            volume_configuration.check_again(managed, definition)
        platform_version = current.platform_version
        if params.get("platformVersion"):
            platform_version = fargate.platform_version(params["platformVersion"])
        return replace(
            current,
            task_definition_arn=arn.task_definition(definition.scope, definition.family, definition.revision),
            desired_count=current.desired_count,
            network=request,
            targets=targets,
            registries=registries,
            managed_volume=managed,
            platform_version=platform_version,
        )

    def _check_alarms(self, service: Service) -> None:
        """Those that are to watch its deployments are there: one that is not would never go off."""
        missing = [
            name for name in service.alarms.names if self._store.get(ALARM, f"{service.scope.prefix}{name}") is None
        ]
        if missing and service.alarms.enable:
            raise invalid(f"The following alarms were not found: {', '.join(missing)}.")

    def _targets(
        self, context: RequestContext, items: Sequence[Mapping[str, Any]], definition: TaskDefinition
    ) -> tuple[TargetRef, ...]:
        """The target groups asked for: they exist, fit the definition, and a load balancer leads to them."""
        most = 1 if any(item.get("loadBalancerName") for item in items) else change.TARGET_GROUPS_MOST
        if len(items) > most:
            raise invalid(f"load balancers can have at most {most} items.")
        for item in items:
            if item.get("loadBalancerName") and item.get("targetGroupArn"):
                raise invalid("loadBalancerName and targetGroupArn cannot both be specified.")
            if is_asked_for(item.get("advancedConfiguration")):
                raise unsupported("loadBalancers.advancedConfiguration")
            if not item.get("loadBalancerName") and not item.get("targetGroupArn"):
                raise invalid("targetGroupArn can not be blank.")
            if not item.get("containerName"):
                raise invalid("Container Name can not be blank.")
            if item.get("containerPort") is None:
                raise invalid("Container Port can not be blank.")
        targets = tuple(wire.target_from(item) for item in items)
        _check_containers(targets, definition)
        for target in targets:
            if not target.load_balancer_name:
                self._check_target_group(context, target.target_group_arn, definition)
        return self._at_host_ports(context, targets, definition)

    def _at_host_ports(
        self, context: RequestContext, targets: tuple[TargetRef, ...], definition: TaskDefinition
    ) -> tuple[TargetRef, ...]:
        """Classic Load Balancers' with what leads to the port that the definition has on its instance."""
        return tuple(
            self._at_host_port(context, each, definition) if each.load_balancer_name else each for each in targets
        )

    def _at_host_port(self, context: RequestContext, target: TargetRef, definition: TaskDefinition) -> TargetRef:
        name = target.load_balancer_name
        if definition.network_mode == "awsvpc":
            raise invalid("Classic Load Balancers are not supported for tasks that use the awsvpc network mode.")
        balancer = self._store.get(CLASSIC_LOAD_BALANCER, context.prefix + name)
        if balancer is None:
            raise invalid(f"There is no ACTIVE Load Balancer named '{name}'")
        port = target.container_port
        if definition.network_mode != "host":
            port = _host_port(target, definition)
        if all(listener.instance_port != port for listener in balancer.listeners):
            raise invalid(f"The load balancer {name} does not have a listener for the instance port {port}.")
        return replace(target, target_group_arn=classic_load_balancer_rule.group_arn(balancer.scope, name, port))

    def _check_target_group(self, context: RequestContext, group_arn: str, definition: TaskDefinition) -> None:
        group = self._store.get(TARGET_GROUP, context.prefix + group_arn)
        if group is None or group.classic is not None:
            raise invalid(f"The specified target group does not exist: {group_arn}")
        if (definition.network_mode == "awsvpc") != (group.target_type == "ip"):
            raise invalid(
                f"The provided target group {group_arn} has target type {group.target_type}, which is incompatible "
                f"with the {definition.network_mode} network mode specified in the task definition."
            )
        for action in (
            *(listener.default_action for listener in self._store.scan(LISTENER, context.prefix)),
            *(rule.action for rule in self._store.scan(RULE, context.prefix)),
        ):
            if isinstance(action, Forward) and any(each.target_group_arn == group_arn for each in action.target_groups):
                return
        raise invalid(f"The target group with targetGroupArn {group_arn} does not have an associated load balancer.")


def _check_daemon(launch_type: str, params: Params) -> None:
    """
    Raises:
        ServiceError: what a service with one task on each instance can not have.
    """
    if launch_type == "FARGATE":
        raise invalid("The daemon scheduling strategy is not supported for tasks that use the Fargate launch type.")
    if params.get("desiredCount") is not None:
        raise invalid(
            "The daemon scheduling strategy does not support a desired count. Remove the desired count value."
        )
    if is_asked_for(params.get("placementStrategy")):
        raise invalid("The daemon scheduling strategy does not support placement strategies.")


def _check_containers(targets: Sequence[TargetRef], definition: TaskDefinition) -> None:
    for target in targets:
        container = next((each for each in definition.containers if each.name == target.container_name), None)
        if container is None:
            raise invalid(f"The container {target.container_name} does not exist in the task definition.")
        if all(mapping.container_port != target.container_port for mapping in container.port_mappings):
            raise invalid(
                f"The container {target.container_name} did not have a container port {target.container_port} defined."
            )


def _host_port(target: TargetRef, definition: TaskDefinition) -> int:
    """The one that the definition gives to the container's port."""
    for container in definition.containers:
        for mapping in container.port_mappings:
            its_port = (container.name, mapping.container_port)
            if its_port == (target.container_name, target.container_port) and mapping.host_port:
                return mapping.host_port
    raise invalid(f"A host port mapping for the container port {target.container_port} is required.")


def _checked_strategy(params: Params, cluster: Cluster, current: Deployment) -> tuple[CapacityProviderShare, ...]:
    """What UpdateService asks for; an empty one goes back to the launch type.

    Raises:
        ServiceError, Refused: the service can not be changed so.
    """
    strategy: tuple[CapacityProviderShare, ...] = ()
    if params["capacityProviderStrategy"]:
        launch = placement.asked_launch({"capacityProviderStrategy": params["capacityProviderStrategy"]}, cluster)
        if launch.type != current.launch_type:
            raise unsupported(f"a change of a service from {current.launch_type} to {launch.type}")
        strategy = launch.strategy
    if strategy != current.capacity_provider_strategy and not params.get("forceNewDeployment"):
        raise invalid(UNFORCED)
    return strategy


def _refuse(params: Params) -> None:
    """
    Raises:
        Refused: a member is asked for that Portside does not implement.
    """
    for member in REFUSED:
        if is_asked_for(params.get(member)):
            raise unsupported(member)
    if (params.get("serviceConnectConfiguration") or {}).get("enabled"):
        raise unsupported("serviceConnectConfiguration")
    controller = (params.get("deploymentController") or {}).get("type", "ECS")
    if controller != "ECS":
        raise unsupported(f"deploymentController {controller}")
    configuration: Mapping[str, Any] = params.get("deploymentConfiguration") or {}
    if (configuration.get("strategy") or "ROLLING") != "ROLLING":
        raise unsupported(f"deploymentConfiguration.strategy {configuration['strategy']}")
    if configuration.get("bakeTimeInMinutes"):
        raise unsupported("deploymentConfiguration.bakeTimeInMinutes")
    for member in _STRATEGY_MEMBERS:
        if is_asked_for(configuration.get(member)):
            raise unsupported(f"deploymentConfiguration.{member}")


def _configured(service: Service, params: Params, *, has_targets: bool) -> Service:
    """The service with the settings that need no new deployment; what the request leaves out stays."""
    configuration: Mapping[str, Any] = params.get("deploymentConfiguration") or {}
    minimum = configuration.get("minimumHealthyPercent")
    maximum = configuration.get("maximumPercent")
    service = replace(
        service,
        minimum_healthy_percent=service.minimum_healthy_percent if minimum is None else minimum,
        maximum_percent=service.maximum_percent if maximum is None else maximum,
    )
    if configuration.get("deploymentCircuitBreaker") is not None:
        service = replace(service, breaker=_breaker_from(configuration["deploymentCircuitBreaker"]))
    if configuration.get("alarms") is not None:
        service = replace(service, alarms=_alarms_from(configuration["alarms"]))
    if minimum is not None or maximum is not None:
        change.check_percentages(service.minimum_healthy_percent, service.maximum_percent)
    grace_s = params.get("healthCheckGracePeriodSeconds")
    change.check_grace_period(grace_s, has_targets=has_targets)
    managed = params.get("enableECSManagedTags")
    executable = params.get("enableExecuteCommand")
    return replace(
        service,
        health_check_grace_period_s=service.health_check_grace_period_s if grace_s is None else grace_s,
        enable_ecs_managed_tags=service.enable_ecs_managed_tags if managed is None else managed,
        propagate_tags=params.get("propagateTags") or service.propagate_tags,
        enable_execute_command=service.enable_execute_command if executable is None else executable,
    )


def _rebalanced(
    service: Service, asked: balance.Rebalancing | None, targets: Sequence[TargetRef], *, is_new: bool
) -> Service:
    """The service with the rebalancing asked for; a new one of which nothing is said has it if it can.

    Raises:
        Refused: the service can not be rebalanced.
    """
    hindrance = balance.hindrance(
        is_daemon=service.scheduling_strategy == "DAEMON",
        is_classic=any(each.load_balancer_name for each in targets),
        maximum_percent=service.maximum_percent,
        strategies=service.placement_strategies,
        constraints=service.placement_constraints,
    )
    if is_new and asked is None:
        return replace(service, az_rebalancing="DISABLED" if hindrance else "ENABLED")
    asked = asked or service.az_rebalancing
    balance.check(asked, hindrance)
    return replace(service, az_rebalancing=asked)


def _alarms_from(item: Mapping[str, Any]) -> DeploymentAlarms:
    """
    Raises:
        Refused: no alarm is named.
    """
    found = DeploymentAlarms(
        names=tuple(dict.fromkeys(item["alarmNames"])), enable=bool(item["enable"]), rollback=bool(item["rollback"])
    )
    breaker.check_alarms(found)
    return found


def _breaker_from(item: Mapping[str, Any]) -> CircuitBreaker:
    """
    Raises:
        Refused: the threshold is none.
    """
    unset, threshold = CircuitBreaker(), item.get("thresholdConfiguration") or {}
    resets = item.get("resetOnHealthyTask")
    value = threshold.get("value")
    found = CircuitBreaker(
        enable=bool(item.get("enable")),
        rollback=bool(item.get("rollback")),
        reset_on_healthy_task=unset.reset_on_healthy_task if resets is None else resets,
        threshold_type=threshold.get("type") or unset.threshold_type,
        threshold=unset.threshold if value is None else value,
    )
    breaker.check(found)
    return found


def _digest(params: Params) -> str:
    """Tells a repeated CreateService from another one of that name. Token and tags do not count."""
    rest = {name: value for name, value in params.items() if name not in ("clientToken", "tags")}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()[:16]
