"""Mount points that containers take from each other."""

from portside.domain import volume
from portside.domain.task_definition import ContainerDefinition, DependsOn, MountPoint, VolumesFrom


def mount(name: str, path: str, *, read_only: bool = False) -> MountPoint:
    return MountPoint(volume=name, container_path=path, read_only=read_only)


def test_inherited_through_two_containers() -> None:
    """Mount points are inherited from a container that inherits itself; its own win, and read-only stays so."""
    first = ContainerDefinition(name="first", image="i", mount_points=(mount("a", "/a"), mount("b", "/b")))
    second = ContainerDefinition(
        name="second",
        image="i",
        mount_points=(mount("c", "/b"),),
        volumes_from=(VolumesFrom(container="first", read_only=True),),
    )
    third = ContainerDefinition(name="third", image="i", volumes_from=(VolumesFrom(container="second"),))
    found = volume.with_inherited(third, (first, second, third))
    assert found.mount_points == (mount("a", "/a", read_only=True), mount("c", "/b"))


def test_starts_after_its_source() -> None:
    """Who inherits from a container starts after it, unless the definition says more."""
    source = ContainerDefinition(name="source", image="i")
    waits = DependsOn(container="source", condition="COMPLETE")
    for depends_on, expected in (((), "START"), ((waits,), "COMPLETE")):
        heir = ContainerDefinition(
            name="heir", image="i", depends_on=depends_on, volumes_from=(VolumesFrom(container="source"),)
        )
        found = volume.with_inherited(heir, (source, heir))
        assert found.depends_on == (DependsOn(container="source", condition=expected),)
