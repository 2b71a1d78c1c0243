"""Instance types: described, as far as their figures are known."""

from typing import Any

from portside.api.ec2.selection import answer, flag, page, selected
from portside.aws.service import Params, RequestContext, Result, ServiceError
from portside.domain import vpc_rule
from portside.domain.ec2_instance_type import INSTANCE_TYPES, InstanceType


class InstanceTypeHandlers:
    def describe_instance_types(self, context: RequestContext, params: Params) -> Result:
        asked = list(params.get("InstanceTypes") or ())
        missing = [each for each in asked if each not in INSTANCE_TYPES]
        if missing:
            raise ServiceError(
                "InvalidInstanceType", f"The following supplied instance types do not exist: [{', '.join(missing)}]"
            )
        kinds = [INSTANCE_TYPES[each] for each in asked] if asked else list(INSTANCE_TYPES.values())
        rows, token = page(selected(kinds, params, _FIELDS), params, lambda k: k.name)
        return answer("InstanceTypes", [_to_wire(each) for each in rows], token)

    def describe_instance_type_offerings(self, context: RequestContext, params: Params) -> Result:
        kind = params.get("LocationType") or "region"
        if kind not in ("region", "availability-zone"):
            raise ServiceError("Unsupported", f"Portside does not support locations of type {kind}.")
        letters = vpc_rule.ZONE_LETTERS if kind == "availability-zone" else ("",)
        rows = [
            {"InstanceType": name, "LocationType": kind, "Location": f"{context.region}{letter}"}
            for name in INSTANCE_TYPES
            for letter in letters
        ]
        found, token = page(
            selected(rows, params, _OFFERING_FIELDS), params, lambda row: f"{row['InstanceType']}/{row['Location']}"
        )
        return answer("InstanceTypeOfferings", found, token)


def _to_wire(kind: InstanceType) -> dict[str, Any]:
    threads = min(2, kind.vcpus) if kind.architecture == "x86_64" else 1
    return {
        "InstanceType": kind.name,
        "CurrentGeneration": kind.family != "t2",
        "FreeTierEligible": kind.name in ("t2.micro", "t3.micro"),
        "SupportedUsageClasses": ["on-demand"],
        "SupportedRootDeviceTypes": ["ebs"],
        "SupportedVirtualizationTypes": ["hvm"],
        "BareMetal": False,
        "ProcessorInfo": {"SupportedArchitectures": [kind.architecture]},
        "VCpuInfo": {
            "DefaultVCpus": kind.vcpus,
            "DefaultCores": kind.vcpus // threads,
            "DefaultThreadsPerCore": threads,
        },
        "MemoryInfo": {"SizeInMiB": kind.memory_mib},
        "InstanceStorageSupported": False,
        "NetworkInfo": {
            "MaximumNetworkInterfaces": kind.interfaces,
            "MaximumNetworkCards": 1,
            "DefaultNetworkCardIndex": 0,
            "Ipv4AddressesPerInterface": kind.addresses_each,
            "Ipv6Supported": False,
        },
        "HibernationSupported": False,
        "BurstablePerformanceSupported": kind.burstable,
        "DedicatedHostsSupported": False,
    }


_OFFERING_FIELDS = {"instance-type": lambda o: [o["InstanceType"]], "location": lambda o: [o["Location"]]}
_FIELDS = {
    "instance-type": lambda k: [k.name],
    "bare-metal": lambda k: ["false"],
    "burstable-performance-supported": lambda k: flag(k.burstable),
    "current-generation": lambda k: flag(k.family != "t2"),
    "memory-info.size-in-mib": lambda k: [str(k.memory_mib)],
    "network-info.maximum-network-interfaces": lambda k: [str(k.interfaces)],
    "network-info.ipv4-addresses-per-interface": lambda k: [str(k.addresses_each)],
    "processor-info.supported-architecture": lambda k: [k.architecture],
    "vcpu-info.default-vcpus": lambda k: [str(k.vcpus)],
    "supported-usage-class": lambda k: ["on-demand"],
    "supported-virtualization-type": lambda k: ["hvm"],
}
