"""Regions, Availability Zones and account attributes: the same for everybody."""

from typing import Any

from portside.api.ec2 import elastic_address, error
from portside.api.ec2.selection import selected
from portside.aws.service import Params, RequestContext, Result, ServiceError
from portside.domain import vpc_rule
from portside.domain.record import Scope
from portside.domain.table import VPC
from portside.store.interface import Store

_BY_DEFAULT = (
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
)
_OPT_IN = (
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-south-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-west-1",
    "eu-central-2",
    "eu-south-1",
    "eu-south-2",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
)
"""The regions of the aws partition. Every one of them is there here, so those that need opting in are opted in.
Source: botocore's endpoints.json."""


class ZoneHandlers:
    def __init__(self, store: Store) -> None:
        self._store = store

    def describe_availability_zones(self, context: RequestContext, params: Params) -> Result:
        zones = [_zone(context.region, letter) for letter in vpc_rule.ZONE_LETTERS]
        for name in params.get("ZoneNames") or ():
            if name not in {zone["ZoneName"] for zone in zones}:
                raise error.invalid_value(f"Invalid availability zone: [{name}]")
        for zone_id in params.get("ZoneIds") or ():
            if zone_id not in {zone["ZoneId"] for zone in zones}:
                raise error.invalid_value(f"Invalid availability zone-id: [{zone_id}]")
        names, ids = params.get("ZoneNames"), params.get("ZoneIds")
        zones = [z for z in zones if (not names or z["ZoneName"] in names) and (not ids or z["ZoneId"] in ids)]
        return {"AvailabilityZones": selected(zones, params, _ZONE_FIELDS)}

    def describe_regions(self, context: RequestContext, params: Params) -> Result:
        names = sorted(_BY_DEFAULT + _OPT_IN)
        for name in params.get("RegionNames") or ():
            if name not in names:
                raise error.invalid_value(f"Invalid region(s) provided: [{name}]")
        asked = params.get("RegionNames") or names
        return {"Regions": selected([_region(name) for name in names if name in asked], params, _REGION_FIELDS)}

    def describe_account_attributes(self, context: RequestContext, params: Params) -> Result:
        scope = Scope(account=context.account, region=context.region)
        default = next((each.id for each in self._store.scan(VPC, scope.prefix) if each.is_default), "none")
        values = {
            "default-vpc": [default],
            "supported-platforms": ["VPC"],
            "max-instances": ["20"],
            "vpc-max-security-groups-per-interface": ["5"],
            "max-elastic-ips": [str(elastic_address.LIMIT)],
            "vpc-max-elastic-ips": [str(elastic_address.LIMIT)],
        }
        asked = params.get("AttributeNames") or list(values)
        for name in asked:
            if name not in values:
                raise ServiceError("InvalidParameterValue", f"The attribute '{name}' is invalid")
        return {
            "AccountAttributes": [
                {"AttributeName": name, "AttributeValues": [{"AttributeValue": value} for value in values[name]]}
                for name in values
                if name in asked
            ]
        }


def _zone(region: str, letter: str) -> dict[str, Any]:
    return {
        "ZoneName": f"{region}{letter}",
        "ZoneId": vpc_rule.zone_id(region, letter),
        "RegionName": region,
        "State": "available",
        "ZoneType": "availability-zone",
        "OptInStatus": "opt-in-not-required",
        "GroupName": f"{region}-zg-1",
        "NetworkBorderGroup": region,
        "Messages": [],
    }


def _region(name: str) -> dict[str, Any]:
    return {
        "RegionName": name,
        "Endpoint": f"ec2.{name}.amazonaws.com",
        "OptInStatus": "opt-in-not-required" if name in _BY_DEFAULT else "opted-in",
    }


_ZONE_FIELDS = {
    "zone-name": lambda z: [z["ZoneName"]],
    "zone-id": lambda z: [z["ZoneId"]],
    "region-name": lambda z: [z["RegionName"]],
    "state": lambda z: [z["State"]],
    "zone-type": lambda z: [z["ZoneType"]],
    "opt-in-status": lambda z: [z["OptInStatus"]],
    "group-name": lambda z: [z["GroupName"]],
}
_REGION_FIELDS = {
    "region-name": lambda r: [r["RegionName"]],
    "endpoint": lambda r: [r["Endpoint"]],
    "opt-in-status": lambda r: [r["OptInStatus"]],
}
