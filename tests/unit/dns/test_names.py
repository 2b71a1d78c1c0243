"""What the resolver of a VPC knows: each kind of name, and no other VPC's."""

from collections.abc import Sequence
from datetime import UTC, datetime

from portside.control.names import Names, alias_of
from portside.domain.cloud_map import DiscoveryInstance, DiscoveryService, DnsRecord, Health, Namespace
from portside.domain.dns import Answer, Code, Question, Srv, Type
from portside.domain.load_balancer import LoadBalancer, ZoneMapping
from portside.domain.record import Scope, replace
from portside.domain.table import DISCOVERY_INSTANCE, DISCOVERY_SERVICE, ENI, LOAD_BALANCER, NAMESPACE, VPC
from portside.domain.vpc import Eni, Vpc
from portside.store.interface import Put
from portside.store.memory import MemoryStore

SCOPE = Scope(account="000000000000", region="us-east-1")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOME, AWAY = "vpc-1", "vpc-2"


def first(instances: Sequence[DiscoveryInstance], most: int) -> Sequence[DiscoveryInstance]:
    return instances[:most]


class Lab:
    def __init__(self) -> None:
        self.store = MemoryStore()
        self.names = Names(self.store, first)
        for vpc_id in (HOME, AWAY):
            self.put_vpc(Vpc(scope=SCOPE, id=vpc_id, cidr_block="10.0.0.0/16", created_at=NOW))
        self.namespace = Namespace(
            scope=SCOPE, id="ns-1", name="corp.local", http_name="corp.local", vpc_id=HOME, soa_ttl_s=15, created_at=NOW
        )
        self.store.transact(Put(NAMESPACE, self.namespace))

    def put_vpc(self, vpc: Vpc) -> None:
        self.store.transact(Put(VPC, vpc))

    def service(self, name: str, *kinds: str, policy: str = "MULTIVALUE") -> DiscoveryService:
        records = tuple(DnsRecord(type=kind, ttl_s=20) for kind in kinds)  # type: ignore[arg-type]
        made = DiscoveryService(
            scope=SCOPE,
            id=f"srv-{name}",
            namespace_id="ns-1",
            name=name,
            records=records,
            routing_policy=policy,  # type: ignore[arg-type]
            created_at=NOW,
        )
        self.store.transact(Put(DISCOVERY_SERVICE, made))
        return made

    def instance(
        self, service: DiscoveryService, name: str, health: Health = Health.UNKNOWN, **attributes: str
    ) -> None:
        found = DiscoveryInstance(
            scope=SCOPE, service_id=service.id, id=name, attributes=attributes, health=health, created_at=NOW
        )
        self.store.transact(Put(DISCOVERY_INSTANCE, found))

    def eni(self, vpc_id: str, address: str, **more: object) -> None:
        found = Eni(
            scope=SCOPE,
            id=f"eni-{vpc_id}-{address}",
            subnet_id="subnet-1",
            vpc_id=vpc_id,
            zone="us-east-1a",
            address=address,
            mac_address="02:00:00:00:00:05",
            private_dns_name="",
            security_group_ids=(),
            created_at=NOW,
            **more,  # type: ignore[arg-type]
        )
        self.store.transact(Put(ENI, found))

    def ask(self, name: str, kind: Type = Type.A, vpc_id: str = HOME) -> Answer | None:
        return self.names.answer(vpc_id, Question(name, kind))

    def data(self, name: str, kind: Type = Type.A, vpc_id: str = HOME) -> list[object]:
        answer = self.ask(name, kind, vpc_id)
        assert answer is not None
        return [each.data for each in answer.records]


def negative(answer: Answer | None) -> tuple[Code, int]:
    """The code, and for how long it may be remembered."""
    assert answer is not None
    assert answer.soa is not None
    assert answer.records == ()
    return answer.code, answer.soa.ttl_s


def test_a_service_has_its_instances_addresses() -> None:
    """The name of a service is its instances' addresses, with the record's TTL, in its namespace's VPC alone."""
    lab = Lab()
    web = lab.service("web", "A")
    lab.instance(web, "one", AWS_INSTANCE_IPV4="10.0.0.5")
    answer = lab.ask("web.corp.local")
    assert answer is not None
    assert [(each.name, each.ttl_s, each.data) for each in answer.records] == [("web.corp.local", 20, "10.0.0.5")]
    assert lab.ask("web.corp.local", vpc_id=AWAY) is None
    assert lab.ask("web.corp.example") is None


def test_no_such_name_and_no_such_record() -> None:
    """A name that is not there is NXDOMAIN, one without records of the type is an empty answer; both with the
    namespace's SOA, by whose TTL they are forgotten."""
    lab = Lab()
    web = lab.service("web", "A")
    lab.service("empty", "A")
    deep = lab.service("a.deep", "A")
    lab.instance(web, "one", AWS_INSTANCE_IPV4="10.0.0.5")
    lab.instance(deep, "one", AWS_INSTANCE_IPV4="10.0.0.6")
    assert negative(lab.ask("no.corp.local")) == (Code.NXDOMAIN, 15)
    assert negative(lab.ask("empty.corp.local")) == (Code.NXDOMAIN, 15)
    assert negative(lab.ask("web.corp.local", Type.AAAA)) == (Code.NOERROR, 15)
    assert negative(lab.ask("deep.corp.local")) == (Code.NOERROR, 15)
    assert negative(lab.ask("one.web.corp.local")) == (Code.NXDOMAIN, 15)
    assert lab.data("a.deep.corp.local") == ["10.0.0.6"]
    assert negative(lab.ask("corp.local")) == (Code.NOERROR, 15)
    assert len(lab.data("corp.local", Type.SOA)) == 1


def test_eight_healthy_ones_or_all_when_none_is() -> None:
    """Unhealthy instances are left out while there is a healthy one; at most eight are answered."""
    lab = Lab()
    web = lab.service("web", "A")
    for number in range(10):
        lab.instance(web, f"i{number}", Health.HEALTHY, AWS_INSTANCE_IPV4=f"10.0.0.{number + 10}")
    assert len(lab.data("web.corp.local")) == 8
    for number in range(1, 10):
        lab.instance(web, f"i{number}", Health.UNHEALTHY, AWS_INSTANCE_IPV4=f"10.0.0.{number + 10}")
    assert lab.data("web.corp.local") == ["10.0.0.10"]
    lab.instance(web, "i0", Health.UNHEALTHY, AWS_INSTANCE_IPV4="10.0.0.10")
    assert len(lab.data("web.corp.local")) == 8


def test_weighted_services_answer_with_one() -> None:
    """The weighted policy gives one instance an answer."""
    lab = Lab()
    web = lab.service("web", "A", policy="WEIGHTED")
    for number in range(3):
        lab.instance(web, f"i{number}", AWS_INSTANCE_IPV4=f"10.0.0.{number + 10}")
    assert len(lab.data("web.corp.local")) == 1


def test_srv_records_name_their_instances() -> None:
    """An SRV record leads to INSTANCE.SERVICE.NAMESPACE, which has the instance's address."""
    lab = Lab()
    api = lab.service("_api._tcp", "SRV")
    lab.instance(api, "Task1", AWS_INSTANCE_IPV4="10.0.0.5", AWS_INSTANCE_PORT="8080")
    assert lab.data("_api._tcp.corp.local", Type.SRV) == [Srv(8080, "task1._api._tcp.corp.local")]
    assert lab.data("task1._api._tcp.corp.local") == ["10.0.0.5"]
    assert negative(lab.ask("task1._api._tcp.corp.local", Type.AAAA)) == (Code.NOERROR, 15)
    assert negative(lab.ask("task2._api._tcp.corp.local")) == (Code.NXDOMAIN, 15)
    assert negative(lab.ask("_api._tcp.corp.local")) == (Code.NOERROR, 15)


def test_an_alias_is_answered_whatever_is_asked() -> None:
    """A service with a CNAME record is an alias for every type; it is to be followed unless it is asked for itself."""
    lab = Lab()
    old = lab.service("old", "CNAME", policy="WEIGHTED")
    lab.instance(old, "one", AWS_INSTANCE_CNAME="New.Example.com.")
    for kind in (Type.A, Type.AAAA, Type.CNAME):
        answer = lab.ask("old.corp.local", kind)
        assert answer is not None
        assert [each.data for each in answer.records] == ["new.example.com"]
        assert (alias_of(answer, Question("old.corp.local", kind)) is None) == (kind is Type.CNAME)


def test_the_longest_namespace_counts() -> None:
    """A name is of the namespace that says most about it."""
    lab = Lab()
    lab.store.transact(Put(NAMESPACE, replace(lab.namespace, id="ns-2", name="eu.corp.local")))
    assert negative(lab.ask("web.eu.corp.local")) == (Code.NXDOMAIN, 15)
    answer = lab.ask("web.eu.corp.local")
    assert answer is not None
    assert answer.soa is not None
    assert answer.soa.name == "eu.corp.local"


def test_private_host_names_and_reverse_lookups() -> None:
    """Addresses that an interface of the VPC has, also as a secondary one, have names both ways; others have none."""
    lab = Lab()
    lab.eni(HOME, "10.0.1.5", secondary_addresses=("10.0.1.6",))
    assert lab.data("ip-10-0-1-5.ec2.internal") == ["10.0.1.5"]
    assert lab.data("ip-10-0-1-6.ec2.internal") == ["10.0.1.6"]
    assert lab.data("5.1.0.10.in-addr.arpa", Type.PTR) == ["ip-10-0-1-5.ec2.internal"]
    for name, kind in (("ip-10-0-1-7.ec2.internal", Type.A), ("7.1.0.10.in-addr.arpa", Type.PTR)):
        assert negative(lab.ask(name, kind)) == (Code.NXDOMAIN, 60)
    assert negative(lab.ask("ip-10-0-1-5.ec2.internal", vpc_id=AWAY)) == (Code.NXDOMAIN, 60)
    assert negative(lab.ask("ip-10-0-1-5.ec2.internal", Type.AAAA)) == (Code.NOERROR, 60)
    assert negative(lab.ask("1.1.168.192.in-addr.arpa", Type.PTR)) == (Code.NXDOMAIN, 60)
    assert lab.ask("8.8.8.8.in-addr.arpa", Type.PTR) is None


def test_host_names_of_another_region() -> None:
    """Outside of us-east-1 the domain has the region's name."""
    lab = Lab()
    scope = Scope(account="000000000000", region="eu-west-1")
    lab.put_vpc(Vpc(scope=scope, id="vpc-eu", cidr_block="10.0.0.0/16", created_at=NOW))
    lab.eni("vpc-eu", "10.0.1.5")
    assert lab.data("ip-10-0-1-5.eu-west-1.compute.internal", vpc_id="vpc-eu") == ["10.0.1.5"]
    assert lab.ask("ip-10-0-1-5.ec2.internal", vpc_id="vpc-eu") is None
    assert lab.data("5.1.0.10.in-addr.arpa", Type.PTR, "vpc-eu") == ["ip-10-0-1-5.eu-west-1.compute.internal"]


def test_attributes_of_the_vpc() -> None:
    """Without DNS support there is no resolver; without DNS host names private namespaces and public host names do not
    count, and private host names do."""
    lab = Lab()
    web = lab.service("web", "A")
    lab.instance(web, "one", AWS_INSTANCE_IPV4="10.0.0.5")
    lab.eni(HOME, "10.0.1.5", public_address="198.18.0.9")
    assert lab.data("ec2-198-18-0-9.compute-1.amazonaws.com") == ["10.0.1.5"]
    vpc = Vpc(scope=SCOPE, id=HOME, cidr_block="10.0.0.0/16", dns_hostnames=False, created_at=NOW)
    lab.put_vpc(vpc)
    assert lab.names.serves(HOME)
    assert lab.ask("web.corp.local") is None
    assert lab.ask("ec2-198-18-0-9.compute-1.amazonaws.com") is None
    assert lab.data("ip-10-0-1-5.ec2.internal") == ["10.0.1.5"]
    lab.put_vpc(replace(vpc, dns_support=False))
    assert not lab.names.serves(HOME)


def test_load_balancers_have_their_interfaces_addresses() -> None:
    """In its VPC a load balancer's name leads to its interfaces; other names under localhost are the asker itself."""
    lab = Lab()
    balancer = LoadBalancer(
        scope=SCOPE,
        arn="arn:lb",
        name="web",
        dns_name="web-1.us-east-1.elb.localhost",
        vpc_id=HOME,
        zones=(ZoneMapping(zone="us-east-1a", subnet_id="subnet-1", address="10.0.3.3"),),
        created_at=NOW,
    )
    lab.store.transact(Put(LOAD_BALANCER, balancer))
    assert lab.data("web-1.us-east-1.elb.localhost") == ["10.0.3.3"]
    assert negative(lab.ask("web-1.us-east-1.elb.localhost", vpc_id=AWAY)) == (Code.NXDOMAIN, 60)
    assert lab.data("localhost") == ["127.0.0.1"]
    zonal = "us-east-1a.web-1.us-east-1.elb.localhost"
    assert negative(lab.ask(zonal)) == (Code.NXDOMAIN, 60), "zones of Application Load Balancers have no names"
    other = ZoneMapping(zone="us-east-1b", subnet_id="subnet-2", address="10.0.4.3")
    lab.store.transact(Put(LOAD_BALANCER, replace(balancer, type="network", zones=(*balancer.zones, other))))
    assert lab.data(zonal) == ["10.0.3.3"]
    assert sorted(lab.data("web-1.us-east-1.elb.localhost")) == ["10.0.3.3", "10.0.4.3"]
    assert negative(lab.ask(zonal, vpc_id=AWAY)) == (Code.NXDOMAIN, 60)
    assert negative(lab.ask(zonal.replace("1a", "1z"))) == (Code.NXDOMAIN, 60)
    lab.store.transact(Put(LOAD_BALANCER, balancer))
    site = lab.service("site", "A", "AAAA", policy="WEIGHTED")
    lab.instance(site, "one", AWS_ALIAS_DNS_NAME="Web-1.us-east-1.elb.localhost.")
    assert lab.data("site.corp.local") == ["10.0.3.3"]
    assert negative(lab.ask("site.corp.local", Type.AAAA)) == (Code.NOERROR, 15)
