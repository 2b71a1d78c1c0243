"""EC2, as far as tasks and load balancers need it: the visible list of its operations."""

from portside.api.ec2.default_network import with_default_network
from portside.api.ec2.elastic_address import ElasticAddressHandlers
from portside.api.ec2.fast_restore import FastRestoreHandlers
from portside.api.ec2.image import ImageHandlers
from portside.api.ec2.instance import InstanceHandlers
from portside.api.ec2.instance_type import InstanceTypeHandlers
from portside.api.ec2.internet_gateway import InternetGatewayHandlers
from portside.api.ec2.nat_gateway import NatGatewayHandlers
from portside.api.ec2.network_acl import NetworkAclHandlers
from portside.api.ec2.network_interface import NetworkInterfaceHandlers
from portside.api.ec2.route_table import RouteTableHandlers
from portside.api.ec2.security_group import SecurityGroupHandlers
from portside.api.ec2.snapshot import SnapshotHandlers
from portside.api.ec2.subnet import SubnetHandlers
from portside.api.ec2.tag import TagHandlers
from portside.api.ec2.volume import VolumeHandlers
from portside.api.ec2.vpc import VpcHandlers
from portside.api.ec2.zone import ZoneHandlers
from portside.aws.service import Handler, Service
from portside.domain.clock import Clock, Ids
from portside.store.interface import Store

PUBLIC_BLOCK = "198.18.0.0/21"


def ec2_service(store: Store, clock: Clock, ids: Ids, public_block: str = PUBLIC_BLOCK) -> Service:
    """The operations of EC2 that are there; every other one is answered as not implemented by the gateway.

    Args: public_block: where Elastic addresses are from.
    """
    zones = ZoneHandlers(store)
    groups, tags = SecurityGroupHandlers(store, clock, ids), TagHandlers(store)

    handlers: dict[str, Handler] = {
        **VpcHandlers(store, clock, ids).handlers(),
        **SubnetHandlers(store, clock, ids).handlers(),
        **RouteTableHandlers(store, clock, ids).handlers(),
        **InternetGatewayHandlers(store, clock, ids).handlers(),
        **NatGatewayHandlers(store, clock, ids).handlers(),
        **ElasticAddressHandlers(store, clock, ids, public_block).handlers(),
        **NetworkAclHandlers(store, clock, ids).handlers(),
        **NetworkInterfaceHandlers(store, clock, ids).handlers(),
        **VolumeHandlers(store, clock, ids).handlers(),
        **SnapshotHandlers(store, clock, ids).handlers(),
        **FastRestoreHandlers(store, clock).handlers(),
        "DescribeSecurityGroups": groups.describe_security_groups,
        "DescribeSecurityGroupRules": groups.describe_security_group_rules,
        "CreateSecurityGroup": groups.create_security_group,
        "DeleteSecurityGroup": groups.delete_security_group,
        "AuthorizeSecurityGroupIngress": groups.authorize_ingress,
        "AuthorizeSecurityGroupEgress": groups.authorize_egress,
        "ModifySecurityGroupRules": groups.modify_rules,
        "RevokeSecurityGroupIngress": groups.revoke_ingress,
        "RevokeSecurityGroupEgress": groups.revoke_egress,
        "UpdateSecurityGroupRuleDescriptionsIngress": groups.describe_ingress,
        "UpdateSecurityGroupRuleDescriptionsEgress": groups.describe_egress,
        "DescribeAvailabilityZones": zones.describe_availability_zones,
        "DescribeRegions": zones.describe_regions,
        "DescribeAccountAttributes": zones.describe_account_attributes,
        "CreateTags": tags.create_tags,
        "DeleteTags": tags.delete_tags,
        "DescribeTags": tags.describe_tags,
        "DescribeInstanceTypes": InstanceTypeHandlers().describe_instance_types,
        "DescribeInstanceTypeOfferings": InstanceTypeHandlers().describe_instance_type_offerings,
        "DescribeImages": ImageHandlers().describe_images,
        **InstanceHandlers(store, clock, ids).handlers(),
    }
    service = Service(
        name="ec2",
        handlers=handlers,
        partial={
            "AuthorizeSecurityGroupIngress": "no prefix lists; IPv6 ranges are kept and match nothing",
            "AuthorizeSecurityGroupEgress": "no prefix lists; IPv6 ranges are kept and match nothing",
            "ModifySecurityGroupRules": "no prefix lists; IPv6 ranges are kept and match nothing",
            "CreateVpc": "no IPv6, no IPAM, default tenancy only",
            "AssociateVpcCidrBlock": "no IPv6, no IPAM",
            "ModifyVpcAttribute": "EnableDnsSupport and EnableDnsHostnames",
            "CreateSubnet": "no IPv6, no IPAM, no Outposts",
            "ModifySubnetAttribute": "MapPublicIpOnLaunch only",
            "CreateRoute": "to internet and NAT gateways, for IPv4 blocks outside the VPC's own",
            "ReplaceRoute": "to internet and NAT gateways, for IPv4 blocks outside the VPC's own",
            "DeleteRoute": "IPv4 blocks only",
            "AssociateRouteTable": "with subnets only",
            "DescribeVpnGateways": "there are none",
            "AllocateAddress": "from the instance's own block; no pools, no address by name",
            "AssociateAddress": "with the primary address of an interface",
            "DescribeAddressesAttribute": "no address has a name of its own",
            "CreateNatGateway": "zonal, with one address",
            "CreateNetworkAclEntry": "entries for IPv6 are kept and match nothing",
            "ReplaceNetworkAclEntry": "entries for IPv6 are kept and match nothing",
            "CreateNetworkInterface": "for instances; no prefixes, no trunks, no IPv6",
            "AttachNetworkInterface": "one network card; of the instance's VPC",
            "ModifyNetworkInterfaceAttribute": "description, security groups, DeleteOnTermination",
            "AssignPrivateIpAddresses": "no prefixes, no reassignment",
            "UnassignPrivateIpAddresses": "no prefixes",
            "RunInstances": "from the ECS images only; user data is read for settings of the ECS agent "
            "and not executed; no key pairs, disks, launch "
            "templates, spot instances, further interfaces",
            "StopInstances": "no hibernation",
            "DescribeInstanceTypes": "the families t2, t3, t3a, t4g, m5, c5, r5, m6i, c6i, r6i, m6g, c6g, r6g",
            "DescribeImages": "the ECS images",
            "ModifyInstanceAttribute": "type, user data, security groups",
            "DescribeInstanceAttribute": "what RunInstances can set, and defaults",
            "CreateVolume": "no Multi-Attach, no Outposts; the encrypted flag is kept and shown, nothing is encrypted; "
            "IOPS and throughput are held with `--ebs-rates`",
            "ModifyVolume": "as CreateVolume; as often as asked for",
            "AttachVolume": "as a device file in the instance's folder; no EBS cards",
            "DetachVolume": "Force waits, too, until nobody uses the device",
            "CreateSnapshot": "no Outposts, no Local Zones",
            "CopySnapshot": "no Outposts, no Local Zones, no CompletionDurationMinutes: it is done at once",
            "EnableFastSnapshotRestores": "kept and shown as enabled; every volume is whole before it is available",
            "DescribeSnapshots": "of the account's own",
            "CreateTags": "instances, volumes, snapshots and all that belongs to a VPC",
            "DeleteTags": "instances, volumes, snapshots and all that belongs to a VPC",
        },
    )
    return with_default_network(service, store, clock, ids)
