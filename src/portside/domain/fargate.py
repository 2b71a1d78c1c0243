"""What Fargate offers: pairs of task cpu and memory, platform versions, ephemeral storage.

Source: ECS developer guide, "Task CPU and memory" and "Fargate platform versions".
"""

from typing import Final

from portside.domain.refusal import RefusalKind, Refused

GIB_MIB: Final = 1024

MEMORY_MIB: Final[dict[int, tuple[int, ...]]] = {
    256: (512, 1 * GIB_MIB, 2 * GIB_MIB),
    512: tuple(range(1 * GIB_MIB, 4 * GIB_MIB + 1, GIB_MIB)),
    1024: tuple(range(2 * GIB_MIB, 8 * GIB_MIB + 1, GIB_MIB)),
    2048: tuple(range(4 * GIB_MIB, 16 * GIB_MIB + 1, GIB_MIB)),
    4096: tuple(range(8 * GIB_MIB, 30 * GIB_MIB + 1, GIB_MIB)),
    8192: tuple(range(16 * GIB_MIB, 60 * GIB_MIB + 1, 4 * GIB_MIB)),
    16384: tuple(range(32 * GIB_MIB, 120 * GIB_MIB + 1, 8 * GIB_MIB)),
}
"""Task memory sizes (MiB) by task cpu units."""

EPHEMERAL_STORAGE_GIB: Final = range(21, 201)
"""What `ephemeralStorage` may ask for; without it a task has 20 GiB."""
TIMEOUT_MAX_S: Final = 120
"""Of a container to start and to stop. Source: API_ContainerDefinition."""
LATEST_PLATFORM_VERSION: Final = "1.4.0"
RETIRED_PLATFORM_VERSIONS: Final = frozenset({"1.0.0", "1.1.0", "1.2.0", "1.3.0"})
LOG_DRIVERS: Final = ("awslogs", "splunk", "awsfirelens")
CAPACITY_PROVIDERS: Final = ("FARGATE", "FARGATE_SPOT")


def check_size(cpu_units: int | None, memory_mib: int | None) -> None:
    """
    Raises:
        Refused: there is no such Fargate size, or a half of it is missing.
    """
    if cpu_units is None or memory_mib is None:
        missing = "cpu" if cpu_units is None else "memory"
        raise Refused(RefusalKind.INVALID, f"Fargate requires that '{missing}' be defined at the task level.", missing)
    if memory_mib not in MEMORY_MIB.get(cpu_units, ()):
        raise Refused(
            RefusalKind.INVALID,
            f"No Fargate configuration exists for given values: {cpu_units} CPU, {memory_mib} memory. "
            "See the Amazon ECS documentation for the valid values.",
            "memory",
        )


def platform_version(asked: str | None) -> str:
    """The version that a requested one stands for.

    Raises:
        Refused: NOT_FOUND for what no platform is called, UNSUPPORTED for a retired one.
    """
    if asked is None or asked in ("LATEST", LATEST_PLATFORM_VERSION):
        return LATEST_PLATFORM_VERSION
    if asked in RETIRED_PLATFORM_VERSIONS:
        raise unsupported(f"platformVersion {asked}")
    raise Refused(RefusalKind.NOT_FOUND, "The specified platform does not exist.", "platform")


def unsupported(what: str) -> Refused:
    """AWS has it, Portside not yet."""
    return Refused(RefusalKind.UNSUPPORTED, f"Portside does not support {what} yet; see docs/coverage.md", what)
