"""EC2's instance types, as far as container instances come in them: vCPUs, memory, architecture, interfaces.

Source: https://docs.aws.amazon.com/ec2/latest/instancetypes/ (specifications of each family; "network interfaces" and
"addresses per interface").
"""

from typing import Final, NamedTuple

GIB_MIB: Final = 1024


class InstanceType(NamedTuple):
    """`interfaces` and `addresses_each`: how many network interfaces it takes, and IPv4 addresses on each."""

    name: str
    vcpus: int
    memory_mib: int
    interfaces: int
    addresses_each: int
    architecture: str

    @property
    def cpu_units(self) -> int:
        """1024 for each vCPU."""
        return self.vcpus * 1024

    @property
    def family(self) -> str:
        return self.name.partition(".")[0]

    @property
    def burstable(self) -> bool:
        return self.family.startswith("t")


_X86, _ARM = "x86_64", "arm64"

# size: vCPUs, memory in GiB, interfaces, addresses on each
_T2: Final[dict[str, tuple[int, float, int, int]]] = {
    "nano": (1, 0.5, 2, 2),
    "micro": (1, 1, 2, 2),
    "small": (1, 2, 3, 4),
    "medium": (2, 4, 3, 6),
    "large": (2, 8, 3, 12),
    "xlarge": (4, 16, 3, 15),
    "2xlarge": (8, 32, 3, 15),
}
_T3: Final[dict[str, tuple[int, float, int, int]]] = {
    "nano": (2, 0.5, 2, 2),
    "micro": (2, 1, 2, 2),
    "small": (2, 2, 3, 4),
    "medium": (2, 4, 3, 6),
    "large": (2, 8, 3, 12),
    "xlarge": (4, 16, 4, 15),
    "2xlarge": (8, 32, 4, 15),
}
_NETWORK_5: Final = {
    "large": (2, 3, 10),
    "xlarge": (4, 4, 15),
    "2xlarge": (8, 4, 15),
    "4xlarge": (16, 8, 30),
    "8xlarge": (32, 8, 30),
    "12xlarge": (48, 8, 30),
    "16xlarge": (64, 15, 50),
    "24xlarge": (96, 15, 50),
}
_C5: Final[dict[str, tuple[int, float, int, int]]] = {
    "large": (2, 4, 3, 10),
    "xlarge": (4, 8, 4, 15),
    "2xlarge": (8, 16, 4, 15),
    "4xlarge": (16, 32, 8, 30),
    "9xlarge": (36, 72, 8, 30),
    "12xlarge": (48, 96, 8, 30),
    "18xlarge": (72, 144, 15, 50),
    "24xlarge": (96, 192, 15, 50),
}
_MEDIUM_6G: Final = (1, 2, 4)


def _sized(gib_per_vcpu: int, *, medium: bool = False, most: int = 96) -> dict[str, tuple[int, float, int, int]]:
    """A general family of the fifth generation or later: memory follows the vCPUs."""
    sizes = {"medium": _MEDIUM_6G, **_NETWORK_5} if medium else _NETWORK_5
    return {
        size: (vcpus, vcpus * gib_per_vcpu, interfaces, addresses)
        for size, (vcpus, interfaces, addresses) in sizes.items()
        if vcpus <= most
    }


_FAMILIES: Final[dict[str, tuple[str, dict[str, tuple[int, float, int, int]]]]] = {
    "t2": (_X86, _T2),
    "t3": (_X86, _T3),
    "t3a": (_X86, _T3 | {"small": (2, 2, 2, 4)}),
    "t4g": (_ARM, _T3),
    "c5": (_X86, _C5),
    "m5": (_X86, _sized(4)),
    "r5": (_X86, _sized(8)),
    "c6i": (_X86, _sized(2)),
    "m6i": (_X86, _sized(4)),
    "r6i": (_X86, _sized(8)),
    "c6g": (_ARM, _sized(2, medium=True, most=64)),
    "m6g": (_ARM, _sized(4, medium=True, most=64)),
    "r6g": (_ARM, _sized(8, medium=True, most=64)),
}

INSTANCE_TYPES: Final[dict[str, InstanceType]] = {
    f"{family}.{size}": InstanceType(
        f"{family}.{size}", vcpus, int(memory_gib * GIB_MIB), interfaces, addresses, architecture
    )
    for family, (architecture, sizes) in _FAMILIES.items()
    for size, (vcpus, memory_gib, interfaces, addresses) in sizes.items()
}
"""By name."""
