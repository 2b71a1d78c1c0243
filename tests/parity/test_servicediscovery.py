"""Cloud Map through boto3 and the aws command."""

import asyncio
import http.client
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from served import ACCOUNT, REGION

from portside.api.ec2.service import ec2_service
from portside.api.servicediscovery.service import servicediscovery_service
from portside.aws import cbor
from portside.control.clock import RandomIds, SystemClock
from portside.control.cloud_map import CloudMapLoop
from portside.domain.cloud_map import OperationStatus
from portside.domain.load_balancer import LoadBalancer
from portside.domain.record import Scope
from portside.domain.table import CLOUD_MAP_OPERATION, LOAD_BALANCER
from portside.store.interface import Put
from portside.store.memory import MemoryStore

A10 = {"DnsRecords": [{"Type": "A", "TTL": 10}]}


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def served(serve: Callable[..., Any], store: MemoryStore) -> Any:
    clock, ids = SystemClock(), RandomIds()
    return serve([servicediscovery_service(store, clock, ids), ec2_service(store, clock, ids, "198.18.0.0/28")])


@pytest.fixture(params=["json", "smithy-rpc-v2-cbor"])
def sd(served: Any, request: pytest.FixtureRequest) -> Any:
    """A client of each protocol that SDKs speak. DiscoverInstances would go to the host data-127.0.0.1."""
    return served.client_of_protocol("servicediscovery", request.param, inject_host_prefix=False)


@pytest.fixture
def vpc_id(served: Any) -> str:
    return str(served.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])


@pytest.fixture
def carry_out(store: MemoryStore) -> Callable[[], None]:
    """What the loop does when it is woken: every operation that was asked for."""

    def work() -> None:
        async def steps() -> None:
            loop = CloudMapLoop(store, SystemClock())
            for operation in list(store.scan(CLOUD_MAP_OPERATION)):
                if operation.status is OperationStatus.SUBMITTED:
                    await loop._step(operation.key)

        asyncio.run(steps())

    return work


def error_of(call: Callable[..., Any], **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    found = caught.value.response["Error"]
    return str(found["Code"]), str(found["Message"])


@pytest.fixture
def namespace_id(sd: Any, vpc_id: str, carry_out: Callable[[], None]) -> str:
    sd.create_private_dns_namespace(Name="corp.local", Vpc=vpc_id)
    carry_out()
    return str(sd.list_namespaces()["Namespaces"][0]["Id"])


@pytest.fixture
def service_id(sd: Any, namespace_id: str) -> str:
    made = sd.create_service(Name="web", NamespaceId=namespace_id, DnsConfig=A10, HealthCheckCustomConfig={})
    return str(made["Service"]["Id"])


def test_private_namespace_is_made_by_an_operation(sd: Any, vpc_id: str, carry_out: Callable[[], None]) -> None:
    """The call answers with an operation; the namespace is there once that has succeeded, with its properties."""
    asked = {
        "Name": "corp.local",
        "Vpc": vpc_id,
        "CreatorRequestId": "once",
        "Description": "of the company",
        "Properties": {"DnsProperties": {"SOA": {"TTL": 30}}},
        "Tags": [{"Key": "team", "Value": "a"}],
    }
    operation_id = sd.create_private_dns_namespace(**asked)["OperationId"]
    operation = sd.get_operation(OperationId=operation_id)["Operation"]
    assert (operation["Type"], operation["Status"]) == ("CREATE_NAMESPACE", "SUBMITTED")
    assert sd.list_namespaces()["Namespaces"] == []
    assert sd.create_private_dns_namespace(**asked)["OperationId"] == operation_id
    code, _ = error_of(sd.create_private_dns_namespace, Name="corp.local", Vpc=vpc_id)
    assert code == "DuplicateRequest"
    carry_out()
    operation = sd.get_operation(OperationId=operation_id)["Operation"]
    assert operation["Status"] == "SUCCESS"
    namespace = sd.get_namespace(Id=operation["Targets"]["NAMESPACE"])["Namespace"]
    assert (namespace["Name"], namespace["Type"], namespace["ServiceCount"]) == ("corp.local", "DNS_PRIVATE", 0)
    assert namespace["Description"] == "of the company"
    assert namespace["Properties"]["DnsProperties"]["SOA"] == {"TTL": 30}
    assert namespace["Properties"]["HttpProperties"] == {"HttpName": "corp.local"}
    assert sd.list_tags_for_resource(ResourceARN=namespace["Arn"])["Tags"] == [{"Key": "team", "Value": "a"}]
    with pytest.raises(ClientError) as caught:
        sd.create_private_dns_namespace(Name="corp.local", Vpc=vpc_id)
    assert caught.value.response["Error"]["Code"] == "NamespaceAlreadyExists"
    assert caught.value.response["NamespaceId"] == namespace["Id"]


def test_namespace_of_no_vpc_fails(sd: Any, carry_out: Callable[[], None]) -> None:
    """The operation fails as Route 53 fails it, with code and message, and there is no namespace."""
    operation_id = sd.create_private_dns_namespace(Name="corp.local", Vpc="vpc-0123456789abcdef0")["OperationId"]
    carry_out()
    operation = sd.get_operation(OperationId=operation_id)["Operation"]
    assert (operation["Status"], operation["ErrorCode"]) == ("FAIL", "CANNOT_CREATE_HOSTED_ZONE")
    assert "vpc-0123456789abcdef0" in operation["ErrorMessage"]
    assert sd.list_namespaces()["Namespaces"] == []


def test_same_name_in_another_vpc(sd: Any, served: Any, namespace_id: str, carry_out: Callable[[], None]) -> None:
    """Two VPCs may have namespaces of one name; the API tells them apart by the HTTP name."""
    other = served.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    sd.create_private_dns_namespace(Name="corp.local", Vpc=other)
    carry_out()
    both = sd.list_namespaces(Filters=[{"Name": "NAME", "Values": ["corp.local"]}])["Namespaces"]
    names = {each["Properties"]["HttpProperties"]["HttpName"] for each in both}
    assert len(both) == len(names) == 2
    assert "corp.local" in names


def test_namespaces_are_listed_by_filters_and_pages(sd: Any, namespace_id: str, carry_out: Callable[[], None]) -> None:
    """TYPE, NAME and HTTP_NAME select, BEGINS_WITH by the beginning; pages follow one another."""
    for name in ("alpha", "beta"):
        sd.create_http_namespace(Name=name)
    carry_out()

    def names(*filters: tuple[str, str, str]) -> set[str]:
        asked = [{"Name": name, "Condition": condition, "Values": [value]} for name, condition, value in filters]
        return {each["Name"] for each in sd.list_namespaces(Filters=asked)["Namespaces"]}

    assert names(("TYPE", "EQ", "HTTP")) == {"alpha", "beta"}
    assert names(("TYPE", "EQ", "DNS_PRIVATE")) == {"corp.local"}
    assert names(("NAME", "BEGINS_WITH", "co"), ("RESOURCE_OWNER", "EQ", "SELF")) == {"corp.local"}
    assert names(("RESOURCE_OWNER", "EQ", "OTHER_ACCOUNTS")) == set()
    pages = list(sd.get_paginator("list_namespaces").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["Namespaces"]) for page in pages] == [2, 1]
    assert error_of(sd.list_namespaces, NextToken="???")[0] == "InvalidInput"
    assert error_of(sd.list_namespaces, MaxResults=101)[0] == "InvalidInput"
    bad = [{"Name": "NAME", "Condition": "BETWEEN", "Values": ["a", "b"]}]
    assert error_of(sd.list_namespaces, Filters=bad)[0] == "InvalidInput"


def test_namespaces_change_and_go(sd: Any, namespace_id: str, carry_out: Callable[[], None]) -> None:
    """Description and TTL change by an operation; a namespace with services can not be deleted, an empty one can."""
    changes = {"Description": "new", "Properties": {"DnsProperties": {"SOA": {"TTL": 60}}}}
    sd.update_private_dns_namespace(Id=namespace_id, Namespace=changes)
    carry_out()
    namespace = sd.get_namespace(Id=namespace_id)["Namespace"]
    assert namespace["Description"] == "new"
    assert namespace["Properties"]["DnsProperties"]["SOA"]["TTL"] == 60
    assert error_of(sd.update_http_namespace, Id=namespace_id, Namespace={"Description": ""})[0] == "InvalidInput"
    service = sd.create_service(Name="web", NamespaceId=namespace["Arn"], DnsConfig=A10)["Service"]
    assert error_of(sd.delete_namespace, Id=namespace_id) == (
        "ResourceInUse",
        "Namespace has associated services; delete the services before deleting the namespace",
    )
    sd.delete_service(Id=service["Arn"])
    sd.delete_namespace(Id=namespace_id)
    assert error_of(sd.delete_namespace, Id=namespace_id)[0] == "DuplicateRequest"
    carry_out()
    assert error_of(sd.get_namespace, Id=namespace_id)[0] == "NamespaceNotFound"
    assert error_of(sd.get_service, Id=service["Id"])[0] == "ServiceNotFound"


def test_services(sd: Any, namespace_id: str) -> None:
    """A service has its records and policy; names are taken once, by DNS without regard to case."""
    service = sd.create_service(
        Name="db",
        DnsConfig={
            "NamespaceId": namespace_id,
            "RoutingPolicy": "WEIGHTED",
            "DnsRecords": [{"Type": "CNAME", "TTL": 5}],
        },
        CreatorRequestId="once",
    )["Service"]
    assert service["DnsConfig"] == {
        "NamespaceId": namespace_id,
        "RoutingPolicy": "WEIGHTED",
        "DnsRecords": [{"Type": "CNAME", "TTL": 5}],
    }
    assert (service["Type"], service["InstanceCount"]) == ("DNS_HTTP", 0)
    with pytest.raises(ClientError) as caught:
        sd.create_service(Name="DB", NamespaceId=namespace_id, DnsConfig=A10)
    assert caught.value.response["Error"]["Code"] == "ServiceAlreadyExists"
    assert caught.value.response["ServiceId"] == service["Id"]
    api_only = sd.create_service(Name="jobs", NamespaceId=namespace_id, Type="HTTP")["Service"]
    assert api_only["Type"] == "HTTP"
    assert "DnsConfig" not in api_only
    listed = sd.list_services(Filters=[{"Name": "NAMESPACE_ID", "Values": [namespace_id]}])["Services"]
    assert {each["Name"] for each in listed} == {"db", "jobs"}
    assert sd.get_namespace(Id=namespace_id)["Namespace"]["ServiceCount"] == 2


@pytest.mark.parametrize(
    "params",
    [
        {"DnsConfig": {"DnsRecords": [{"Type": "A", "TTL": 1}, {"Type": "SRV", "TTL": 1}]}},
        {"DnsConfig": {"DnsRecords": [{"Type": "A", "TTL": 1}, {"Type": "A", "TTL": 1}]}},
        {"DnsConfig": {"DnsRecords": []}},
        {"DnsConfig": {"RoutingPolicy": "MULTIVALUE", "DnsRecords": [{"Type": "CNAME", "TTL": 1}]}},
        {"DnsConfig": A10, "Type": "HTTP"},
        {"DnsConfig": A10, "HealthCheckConfig": {"Type": "HTTP"}},
        {"DnsConfig": A10, "HealthCheckConfig": {"Type": "HTTP"}, "HealthCheckCustomConfig": {}},
        {"DnsConfig": A10, "Name": "-bad-"},
    ],
)
def test_what_a_service_can_not_be(sd: Any, namespace_id: str, params: dict[str, Any]) -> None:
    """Combinations of records, policies and types that Cloud Map does not have are refused."""
    assert error_of(sd.create_service, **{"Name": "web", "NamespaceId": namespace_id, **params})[0] == "InvalidInput"


def test_service_of_no_namespace(sd: Any, carry_out: Callable[[], None]) -> None:
    """A namespace has to be named, and to be there; one for the API has no records."""
    assert error_of(sd.create_service, Name="web") == ("InvalidInput", "Service namespace id cannot be null")
    assert error_of(sd.create_service, Name="web", NamespaceId="ns-1")[0] == "NamespaceNotFound"
    sd.create_http_namespace(Name="api")
    carry_out()
    (namespace,) = sd.list_namespaces()["Namespaces"]
    code, message = error_of(sd.create_service, Name="web", NamespaceId=namespace["Id"], DnsConfig=A10)
    assert (code, message) == (
        "InvalidInput",
        "When you specify an HTTP service, you can't include a DnsConfig element.",
    )


def test_records_of_a_service_change(sd: Any, service_id: str, carry_out: Callable[[], None]) -> None:
    """UpdateService sets TTLs by an operation, and adds no types."""
    changes = {"Description": "new", "DnsConfig": {"DnsRecords": [{"Type": "A", "TTL": 99}]}}
    operation_id = sd.update_service(Id=service_id, Service=changes)["OperationId"]
    carry_out()
    assert sd.get_operation(OperationId=operation_id)["Operation"]["Targets"] == {"SERVICE": service_id}
    service = sd.get_service(Id=service_id)["Service"]
    assert (service["Description"], service["DnsConfig"]["DnsRecords"]) == ("new", [{"Type": "A", "TTL": 99}])
    other = {"DnsConfig": {"DnsRecords": [{"Type": "AAAA", "TTL": 1}]}}
    assert error_of(sd.update_service, Id=service_id, Service=other)[0] == "InvalidInput"


def test_instances_come_and_go(sd: Any, service_id: str, carry_out: Callable[[], None]) -> None:
    """An instance is registered by an operation, is changed by the next one, and keeps its service from being
    deleted."""
    attributes = {"AWS_INSTANCE_IPV4": "10.0.0.5", "stage": "beta"}
    operation_id = sd.register_instance(ServiceId=service_id, InstanceId="one", Attributes=attributes)["OperationId"]
    again = {"ServiceId": service_id, "InstanceId": "one", "Attributes": attributes}
    assert error_of(sd.register_instance, **again)[0] == "DuplicateRequest"
    carry_out()
    operation = sd.get_operation(OperationId=operation_id)["Operation"]
    assert operation["Targets"] == {"SERVICE": service_id, "INSTANCE": "one"}
    assert sd.get_instance(ServiceId=service_id, InstanceId="one")["Instance"]["Attributes"] == attributes
    sd.register_instance(**{**again, "Attributes": {"AWS_INSTANCE_IPV4": "10.0.0.6"}})
    carry_out()
    (listed,) = sd.list_instances(ServiceId=service_id)["Instances"]
    assert listed["Attributes"] == {"AWS_INSTANCE_IPV4": "10.0.0.6"}
    assert error_of(sd.delete_service, Id=service_id) == (
        "ResourceInUse",
        "Service contains registered instances; delete the instances before deleting the service",
    )
    sd.deregister_instance(ServiceId=service_id, InstanceId="one")
    carry_out()
    assert error_of(sd.get_instance, ServiceId=service_id, InstanceId="one")[0] == "InstanceNotFound"
    assert error_of(sd.deregister_instance, ServiceId=service_id, InstanceId="one")[0] == "InstanceNotFound"
    sd.delete_service(Id=service_id)
    done = sd.list_operations(Filters=[{"Name": "STATUS", "Condition": "IN", "Values": ["SUCCESS"]}])["Operations"]
    assert len(done) == 4
    of_service = sd.list_operations(
        Filters=[
            {"Name": "SERVICE_ID", "Values": [service_id]},
            {"Name": "TYPE", "Values": ["DEREGISTER_INSTANCE"]},
            {"Name": "UPDATE_DATE", "Condition": "BETWEEN", "Values": ["0", "99999999999"]},
        ]
    )
    assert len(of_service["Operations"]) == 1


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"AWS_INSTANCE_IPV4": "10.0.0"},
        {"AWS_INSTANCE_IPV4": "10.0.0.5", "AWS_INSTANCE_PORT": "70000"},
        {"AWS_INSTANCE_IPV4": "10.0.0.5", "AWS_INIT_HEALTH_STATUS": "WELL"},
        {"AWS_INSTANCE_IPV4": "10.0.0.5", "AWS_UNHEARD_OF": "1"},
        {"AWS_INSTANCE_IPV4": "10.0.0.5", **{f"a{number}": "1" for number in range(31)}},
        {"AWS_INSTANCE_IPV4": "10.0.0.5", **{f"a{number}": "1" * 1000 for number in range(5)}},
        {"AWS_EC2_INSTANCE_ID": "i-1"},
    ],
)
def test_attributes_are_checked(sd: Any, service_id: str, attributes: dict[str, str]) -> None:
    """What the service's records need is required, and values have to be of their kind."""
    params = {"ServiceId": service_id, "InstanceId": "one", "Attributes": attributes}
    assert error_of(sd.register_instance, **params)[0] == "InvalidInput"


def test_discovery_by_health_and_attributes(
    sd: Any, namespace_id: str, service_id: str, carry_out: Callable[[], None]
) -> None:
    """DiscoverInstances selects by health, and by attributes that must and that may match; the revision grows."""
    for name, address, stage in (
        ("one", "10.0.0.1", "beta"),
        ("two", "10.0.0.2", "prod"),
        ("three", "10.0.0.3", "prod"),
    ):
        attributes = {"AWS_INSTANCE_IPV4": address, "stage": stage}
        sd.register_instance(ServiceId=service_id, InstanceId=name, Attributes=attributes)
    carry_out()
    place = {"NamespaceName": "corp.local", "ServiceName": "web"}

    def found(**params: Any) -> set[str]:
        return {each["InstanceId"] for each in sd.discover_instances(**place, **params)["Instances"]}

    revision = sd.discover_instances_revision(**place)["InstancesRevision"]
    sd.update_instance_custom_health_status(ServiceId=service_id, InstanceId="two", Status="UNHEALTHY")
    assert sd.discover_instances_revision(**place)["InstancesRevision"] > revision
    assert sd.get_instances_health_status(ServiceId=service_id)["Status"] == {
        "one": "HEALTHY",
        "two": "UNHEALTHY",
        "three": "HEALTHY",
    }
    assert found() == {"one", "three"}
    assert found(HealthStatus="UNHEALTHY") == {"two"}
    assert found(HealthStatus="ALL") == {"one", "two", "three"}
    assert found(HealthStatus="ALL", QueryParameters={"stage": "prod"}) == {"two", "three"}
    assert found(OptionalParameters={"stage": "beta"}) == {"one"}
    assert found(OptionalParameters={"stage": "none"}) == {"one", "three"}
    assert len(found(MaxResults=1)) == 1
    for name in ("one", "three"):
        sd.update_instance_custom_health_status(ServiceId=service_id, InstanceId=name, Status="UNHEALTHY")
    assert found(HealthStatus="HEALTHY") == set()
    assert found(HealthStatus="HEALTHY_OR_ELSE_ALL") == {"one", "two", "three"}
    assert error_of(sd.discover_instances, NamespaceName="no", ServiceName="web")[0] == "NamespaceNotFound"
    assert error_of(sd.discover_instances, NamespaceName="corp.local", ServiceName="no")[0] == "ServiceNotFound"
    assert error_of(sd.get_instances_health_status, ServiceId=service_id, Instances=["x"])[0] == "InstanceNotFound"


def test_health_without_a_check(sd: Any, namespace_id: str, carry_out: Callable[[], None]) -> None:
    """A service without a custom health check takes no news of health; its instances are UNKNOWN and discovered."""
    service_id = sd.create_service(Name="plain", NamespaceId=namespace_id, DnsConfig=A10)["Service"]["Id"]
    sd.register_instance(ServiceId=service_id, InstanceId="one", Attributes={"AWS_INSTANCE_IPV4": "10.0.0.1"})
    carry_out()
    news = {"ServiceId": service_id, "InstanceId": "one", "Status": "HEALTHY"}
    assert error_of(sd.update_instance_custom_health_status, **news)[0] == "CustomHealthNotFound"
    found = sd.discover_instances(NamespaceName="corp.local", ServiceName="plain", HealthStatus="HEALTHY")["Instances"]
    assert [(each["InstanceId"], each["HealthStatus"]) for each in found] == [("one", "UNKNOWN")]


def test_tags(sd: Any, service_id: str) -> None:
    """Tags of a service are added, replaced and removed; too many, and a resource that is not there, are refused."""
    named = sd.get_service(Id=service_id)["Service"]["Arn"]
    sd.tag_resource(ResourceARN=named, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    sd.tag_resource(ResourceARN=named, Tags=[{"Key": "a", "Value": "3"}])
    sd.untag_resource(ResourceARN=named, TagKeys=["b"])
    assert sd.list_tags_for_resource(ResourceARN=named)["Tags"] == [{"Key": "a", "Value": "3"}]
    many = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
    assert error_of(sd.tag_resource, ResourceARN=named, Tags=many)[0] == "TooManyTagsException"
    assert error_of(sd.list_tags_for_resource, ResourceARN=f"{named}x")[0] == "ResourceNotFoundException"


def test_aliases_of_load_balancers(sd: Any, namespace_id: str, service_id: str, store: MemoryStore) -> None:
    """An instance may be an alias of a load balancer that is there, in a weighted service with A records, and has no
    address of its own."""
    weighted = {**A10, "RoutingPolicy": "WEIGHTED"}
    alias_id = sd.create_service(Name="site", NamespaceId=namespace_id, DnsConfig=weighted)["Service"]["Id"]
    balancer = LoadBalancer(
        scope=Scope(account=ACCOUNT, region=REGION),
        arn="arn:lb",
        name="web",
        dns_name="web-1.us-east-1.elb.localhost",
        vpc_id="vpc-1",
        zones=(),
        created_at=SystemClock().now(),
    )
    store.transact(Put(LOAD_BALANCER, balancer))
    alias = {"AWS_ALIAS_DNS_NAME": "web-1.us-east-1.elb.localhost"}

    def refused(service: str, **attributes: str) -> str:
        return error_of(sd.register_instance, ServiceId=service, InstanceId="one", Attributes=attributes)[1]

    assert "no load balancer" in refused(alias_id, AWS_ALIAS_DNS_NAME="web-2.us-east-1.elb.localhost")
    assert "WEIGHTED" in refused(service_id, **alias)
    assert "can not be combined" in refused(alias_id, AWS_INSTANCE_IPV4="10.0.0.1", **alias)
    sd.register_instance(ServiceId=alias_id, InstanceId="one", Attributes=alias)


def test_attributes_of_a_service(sd: Any, service_id: str) -> None:
    """Attributes of a service are set, replaced, removed and counted; they are no attributes of its instances."""
    sd.update_service_attributes(ServiceId=service_id, Attributes={"a": "1", "b": "2"})
    sd.update_service_attributes(ServiceId=service_id, Attributes={"a": "3"})
    sd.delete_service_attributes(ServiceId=service_id, Attributes=["b", "c"])
    found = sd.get_service_attributes(ServiceId=service_id)["ServiceAttributes"]
    assert found["ServiceArn"].endswith(f":service/{service_id}")
    assert found["Attributes"] == {"a": "3"}
    many = {f"k{number}": "" for number in range(30)}
    code, _ = error_of(sd.update_service_attributes, ServiceId=service_id, Attributes=many)
    assert code == "ServiceAttributesLimitExceededException"
    assert error_of(sd.get_service_attributes, ServiceId="srv-1")[0] == "ServiceNotFound"


def test_what_is_not_there_says_so(sd: Any) -> None:
    """Public namespaces would need the public DNS: the answer is that they are not implemented."""
    code, message = error_of(sd.create_public_dns_namespace, Name="example.com")
    assert code == "NotImplemented"
    assert "CreatePublicDnsNamespace" in message


def test_aws_command(served: Any, vpc_id: str, carry_out: Callable[[], None]) -> None:
    """The aws command makes a namespace and lists it."""
    served.aws("servicediscovery", "create-private-dns-namespace", "--name", "corp.local", "--vpc", vpc_id)
    carry_out()
    (namespace,) = served.aws("servicediscovery", "list-namespaces")["Namespaces"]
    assert namespace["Name"] == "corp.local"


@pytest.mark.parametrize(
    ("operation", "body", "status", "code"),
    [
        ("ListNamespaces", b"\xbf", 400, "SerializationException"),
        ("ListNamespaces", b"\x01", 400, "SerializationException"),
        ("CreateHttpNamespace", b"\xa0", 400, "InvalidInput"),
        ("Invented", b"\xa0", 404, "UnknownOperationException"),
        ("CreatePublicDnsNamespace", b"\xa1\x64Name\x61a", 501, "NotImplemented"),
        ("ListNamespaces", b"", 200, ""),
    ],
)
def test_answers_in_cbor(served: Any, operation: str, body: bytes, status: int, code: str) -> None:
    """What is broken, unknown or not there is said in the protocol that was spoken."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    credential = "000000000000/20260101/us-east-1/servicediscovery/aws4_request"
    headers = {
        "smithy-protocol": "rpc-v2-cbor",
        "content-type": "application/cbor",
        "authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0",
    }
    connection.request("POST", f"/service/Route53AutoNaming_v20170314/operation/{operation}", body, headers)
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("smithy-protocol")) == (status, "rpc-v2-cbor")
    assert answer.getheader("content-type") == "application/cbor"
    found = cbor.decode(answer.read())
    assert found.get("__type", "") == code
    connection.close()
