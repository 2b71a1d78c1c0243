"""Links: names by which a container in bridge mode reaches others of its task.

Source: API_ContainerDefinition, links; https://docs.docker.com/engine/network/links/
"""

from portside.domain.record import replace
from portside.domain.refusal import RefusalKind, Refused
from portside.domain.task_definition import ContainerDefinition, DependsOn, TaskDefinition


def parsed(container: ContainerDefinition) -> tuple[tuple[str, str], ...]:
    """(name of the other container, alias), for each of `name:alias` and `name`."""
    found = (each.partition(":") for each in container.links)
    return tuple((name, alias or name) for name, _, alias in found)


def check(definition: TaskDefinition) -> None:
    """Raises Refused: the network mode has no links, or one leads nowhere."""
    names = {each.name for each in definition.containers}
    for container in definition.containers:
        if container.links and definition.network_mode != "bridge":
            raise _invalid(f"Links are not supported when networkMode={definition.network_mode}")
        for name, alias in parsed(container):
            if name not in names or name == container.name or not alias:
                raise _invalid(f"Container '{container.name}' has an invalid link: '{name}:{alias}'.")


def with_order(container: ContainerDefinition) -> ContainerDefinition:
    """The container, started after those that it is linked to."""
    waits = {each.container for each in container.depends_on}
    implied = tuple(
        DependsOn(container=name, condition="START")
        for name in dict.fromkeys(name for name, _ in parsed(container))
        if name not in waits
    )
    return container if not implied else replace(container, depends_on=(*container.depends_on, *implied))


def _invalid(message: str) -> Refused:
    return Refused(RefusalKind.INVALID, message, "links")
