"""EC2, as far as tasks and load balancers need it: the visible list of its operations."""

from portside.api.ec2.default_network import with_default_network
from portside.api.ec2.image import ImageHandlers
from portside.api.ec2.instance import InstanceHandlers
from portside.api.ec2.instance_type import InstanceTypeHandlers
from portside.api.ec2.network_interface import NetworkInterfaceHandlers
from portside.api.ec2.security_group import SecurityGroupHandlers
from portside.api.ec2.tag import TagHandlers
from portside.api.ec2.vpc import VpcHandlers
from portside.api.ec2.zone import ZoneHandlers
from portside.aws.service import Handler, Service
from portside.domain.clock import Clock, Ids
from portside.store.interface import Store


def ec2_service(store: Store, clock: Clock, ids: Ids) -> Service:
    """The operations of EC2 that are there; every other one is answered as not implemented by the gateway."""
    vpcs, interfaces, zones = VpcHandlers(store), NetworkInterfaceHandlers(store), ZoneHandlers(store)
    groups, tags = SecurityGroupHandlers(store, clock, ids), TagHandlers(store)

    handlers: dict[str, Handler] = {
        "DescribeVpcs": vpcs.describe_vpcs,
        "DescribeSubnets": vpcs.describe_subnets,
        "DescribeSecurityGroups": groups.describe_security_groups,
        "DescribeSecurityGroupRules": groups.describe_security_group_rules,
        "CreateSecurityGroup": groups.create_security_group,
        "DeleteSecurityGroup": groups.delete_security_group,
        "AuthorizeSecurityGroupIngress": groups.authorize_ingress,
        "AuthorizeSecurityGroupEgress": groups.authorize_egress,
        "RevokeSecurityGroupIngress": groups.revoke_ingress,
        "RevokeSecurityGroupEgress": groups.revoke_egress,
        "UpdateSecurityGroupRuleDescriptionsIngress": groups.describe_ingress,
        "UpdateSecurityGroupRuleDescriptionsEgress": groups.describe_egress,
        "DescribeNetworkInterfaces": interfaces.describe_network_interfaces,
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
            "DescribeNetworkInterfaces": "interfaces of tasks and load balancers only",
            "RunInstances": "from the ECS images only; user data is read for ECS_CLUSTER and ECS_INSTANCE_ATTRIBUTES "
            "and not executed; no key pairs, disks, launch "
            "templates, spot instances, further interfaces",
            "StopInstances": "no hibernation",
            "DescribeInstanceTypes": "the families t2, t3, t3a, t4g, m5, c5, r5, m6i, c6i, r6i, m6g, c6g, r6g",
            "DescribeImages": "the ECS images",
            "ModifyInstanceAttribute": "type, user data, security groups",
            "DescribeInstanceAttribute": "what RunInstances can set, and defaults",
            "CreateTags": "VPCs, subnets, security groups, their rules, network interfaces and instances",
            "DeleteTags": "VPCs, subnets, security groups, their rules, network interfaces and instances",
        },
    )
    return with_default_network(service, store, clock, ids)
