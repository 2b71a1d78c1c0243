"""From what a caller names (a short name, `family:revision`, an ARN) to the record that is meant."""

from typing import Final

from portside.api.ecs.error import client_error, cluster_not_found, invalid
from portside.aws.service import RequestContext
from portside.domain import arn, cluster_rule, trust
from portside.domain.clock import Clock
from portside.domain.cluster import Cluster
from portside.domain.record import Scope
from portside.domain.table import CLUSTER, ROLE, TASK_DEFINITION, TASK_DEFINITION_FAMILY
from portside.domain.task_definition import TaskDefinition, TaskDefinitionStatus
from portside.store.interface import Store

DEFAULT_CLUSTER: Final = "default"
TASKS_SERVICE: Final = "ecs-tasks.amazonaws.com"
"""Who assumes the roles of a task."""

_scopes: dict[tuple[str, str], Scope] = {}


def scope(context: RequestContext) -> Scope:
    """The account and region of a request; one shared record for each."""
    found = _scopes.get((context.account, context.region))
    if found is None:
        found = _scopes[context.account, context.region] = Scope(account=context.account, region=context.region)
    return found


def cluster_name(context: RequestContext, named: str | None) -> str:
    """The short name in what was given for a cluster.

    Raises:
        ServiceError: an ARN of another account, or of no cluster.
    """
    if not named:
        return DEFAULT_CLUSTER
    if not named.startswith("arn:"):
        return named
    parsed = arn.parse(named)
    if parsed is None or parsed.service != "ecs" or not parsed.resource.startswith("cluster/"):
        raise invalid(f"Invalid identifier: {named}")
    if parsed.account != context.account:
        raise invalid("AccountIDs mismatch")
    if parsed.region != context.region:
        raise cluster_not_found()
    return parsed.resource.removeprefix("cluster/")


def any_cluster(store: Store, clock: Clock, context: RequestContext, named: str | None) -> Cluster:
    """The cluster, ACTIVE or deleted a short while ago.

    Raises:
        ServiceError: ClusterNotFoundException.
    """
    cluster = store.get(CLUSTER, context.prefix + cluster_name(context, named))
    if cluster is None or (cluster.status == "INACTIVE" and cluster_rule.is_gone(cluster, now=clock.now())):
        raise cluster_not_found()
    return cluster


def active_cluster(store: Store, clock: Clock, context: RequestContext, named: str | None) -> Cluster:
    """The cluster, ACTIVE.

    Raises:
        ServiceError: ClusterNotFoundException.
    """
    cluster = any_cluster(store, clock, context, named)
    if cluster.status != "ACTIVE":
        raise cluster_not_found("The referenced cluster was inactive.")
    return cluster


def in_cluster(context: RequestContext, cluster: str, named: str, kind: str) -> str:
    """The id of a task or service (`kind`) of a cluster, given as id or ARN.

    Raises:
        ServiceError: the ARN is of another account, cluster or kind.
    """
    if not named.startswith("arn:"):
        return named
    parsed = arn.parse(named)
    parts = parsed.resource.split("/") if parsed is not None else []
    if parsed is None or parsed.service != "ecs" or parts[0] != kind or len(parts) not in (2, 3):
        raise invalid(f"Invalid identifier: {named}")
    if parsed.account != context.account:
        raise invalid("AccountIDs mismatch")
    if len(parts) == 3 and parts[1] != cluster:
        raise invalid(f"Invalid identifier: Identifier is for cluster {parts[1]}. Your cluster is {cluster}")
    return parts[-1]


def definition(store: Store, context: RequestContext, named: str) -> TaskDefinition | None:
    """The revision that `family`, `family:revision` or an ARN stands for; a bare family means its latest ACTIVE one."""
    if named.startswith("arn:"):
        parsed = arn.parse(named)
        if (
            parsed is None
            or parsed.service != "ecs"
            or not parsed.resource.startswith("task-definition/")
            or (parsed.account, parsed.region) != (context.account, context.region)
        ):
            return None
        named = parsed.resource.removeprefix("task-definition/")
    family, _, text = named.partition(":")
    if text:
        if not (text.isascii() and text.isdigit()) or len(text) > 9:
            raise invalid(f"Invalid revision number. Number: {text}")
        return store.get(TASK_DEFINITION, f"{context.prefix}{family}/{int(text):09d}")
    known = store.get(TASK_DEFINITION_FAMILY, context.prefix + family)
    if known is None or known.latest_active is None:
        return None
    return store.get(TASK_DEFINITION, f"{context.prefix}{family}/{known.latest_active:09d}")


def runnable_definition(store: Store, context: RequestContext, named: str) -> TaskDefinition:
    """The revision, ACTIVE.

    Raises:
        ServiceError: ClientException as ECS words it.
    """
    found = definition(store, context, named)
    if found is None:
        raise client_error("TaskDefinition not found.")
    if found.status is not TaskDefinitionStatus.ACTIVE:
        error = invalid if context.operation == "RunTask" else client_error
        raise error("TaskDefinition is inactive")
    return found


def check_passed_roles(store: Store, context: RequestContext, *roles: str | None) -> None:
    """That tasks may assume these roles (ARNs or names; None is none).

    A role that IAM does not hold is passed over: policies are not enforced, and stacks name roles that were never made
    here.

    Raises:
        ServiceError: ClientException as ECS words it, for a role whose trust policy leaves tasks out.
    """
    for role in roles:
        if role is None:
            continue
        account, _, name = role.removeprefix("arn:").partition("role/")
        owner = account.split(":")[3] if name else context.account
        known = store.get(ROLE, f"{owner}/{(name or role).rpartition('/')[2]}")
        if known is not None and not trust.admits_service(known.assume_role_policy, TASKS_SERVICE):
            raise client_error(
                f"ECS was unable to assume the role '{role}' that was provided for this task. Please verify that the "
                "role being passed has the proper trust relationship and permissions and that your IAM user has "
                "permissions to pass this role."
            )
