"""A Network Load Balancer at an Elastic address, through the API: who comes to it, and what is left after its end."""

import subprocess
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from test_network_load_balancer import CHECK, WHO, address_of, seen
from test_vpc_network import WORLD, outside, portside

from portside.testing.instance import Instance
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration

__all__ = ["outside", "portside"]  # fixtures

GET = """
import http.client, sys
made = http.client.HTTPConnection(sys.argv[1], 80, timeout=3, source_address=("203.0.113.1", 0))
made.request("GET", "/cgi-bin/who")
print(made.getresponse().read().decode())
"""
EVERYONE = [{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 65535, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]


def test_service_at_an_elastic_address(portside: Instance, outside: Path) -> None:
    """The world reaches a task at the load balancer's Elastic address, the task sees who it is once that is asked
    for; EC2 shows whose the address is; after the end it is free, and the way there is closed."""
    elb, ec2 = portside.client("elbv2"), portside.client("ec2")
    group = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"][0]["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=EVERYONE)
    address = ec2.allocate_address()
    subnet = portside.subnets()[0]
    balancer = elb.create_load_balancer(
        Name="net",
        Type="network",
        SubnetMappings=[{"SubnetId": subnet, "AllocationId": address["AllocationId"]}],
        SecurityGroups=[group],
    )["LoadBalancers"][0]
    target_group = elb.create_target_group(
        Name="net", Protocol="TCP", Port=8080, VpcId=portside.vpc(), TargetType="ip", **CHECK
    )["TargetGroups"][0]["TargetGroupArn"]
    elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="TCP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": target_group}],
    )
    portside.register("who", {"command": ["sh", "-c", WHO], "portMappings": [{"containerPort": 8080}]})
    where = {"subnets": [subnet], "securityGroups": [group]}
    task = portside.run_task("who", networkConfiguration={"awsvpcConfiguration": where})
    portside.wait_task(task, "RUNNING")
    elb.register_targets(TargetGroupArn=target_group, Targets=[{"Id": address_of(portside, task)}])

    def answer() -> str:
        command = ["nsenter", f"--net={outside}", "python3", "-c", GET, address["PublicIp"]]
        return seen(subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout.strip())

    wait_for(answer, timeout_s=60, what="the task answers")
    (shown,) = ec2.describe_addresses(AllocationIds=[address["AllocationId"]])["Addresses"]
    assert answer() == shown["PrivateIpAddress"]
    (eni,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[shown["NetworkInterfaceId"]])["NetworkInterfaces"]
    assert eni["Description"].startswith("ELB net/net/")
    assert eni["Association"]["PublicIp"] == address["PublicIp"]
    with pytest.raises(ClientError, match="AuthFailure"):
        ec2.disassociate_address(AssociationId=shown["AssociationId"])
    elb.modify_target_group_attributes(
        TargetGroupArn=target_group, Attributes=[{"Key": "preserve_client_ip.enabled", "Value": "true"}]
    )
    wait_for(lambda: answer() == WORLD, timeout_s=30, what="the task sees the client")
    elb.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])

    def released() -> bool:
        return "AssociationId" not in ec2.describe_addresses(AllocationIds=[address["AllocationId"]])["Addresses"][0]

    wait_for(released, timeout_s=30, what="the address is free")
    assert answer() == ""
    ec2.release_address(AllocationId=address["AllocationId"])
