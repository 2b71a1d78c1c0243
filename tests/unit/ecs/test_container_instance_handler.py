"""Container instances through the handlers: what is on them, how they are changed, where tasks are placed."""

from typing import Any

import pytest
from ecs_sample import ACCOUNT, NETWORK, REGION, SCOPE, START, Ecs, check_answer

from portside.domain.container_instance import ContainerInstance, registered
from portside.domain.instance import Instance, InstanceState
from portside.domain.instance_identity import document
from portside.domain.record import replace
from portside.domain.table import CONTAINER_INSTANCE, INSTANCE, TASK
from portside.domain.task.record import StopCode, TaskStatus
from portside.domain.user_data import AgentConfiguration
from portside.store.interface import Put

ARN = f"arn:aws:ecs:{REGION}:{ACCOUNT}:container-instance/default"


def ec2_instance(number: int = 1, instance_type: str = "t3.small", zone: str = "a") -> Instance:
    return Instance(
        scope=SCOPE,
        id=f"i-{number:017x}",
        reservation_id="r-1",
        image_id="ami-1",
        instance_type=instance_type,
        eni_id="eni-1",
        subnet_id=f"subnet-{zone}",
        vpc_id="vpc-1",
        zone=REGION + zone,
        address=f"10.0.0.{number + 3}",
        launched_at=START,
        state=InstanceState.RUNNING,
    )


def instance_of(
    number: int = 1, *, instance_type: str = "t3.small", zone: str = "a", **changes: Any
) -> ContainerInstance:
    """A container instance in the zone's subnet; ids are made of its number."""
    made = registered(
        ec2_instance(number, instance_type, zone),
        cluster="default",
        new_id=f"{number:032x}",
        private_dns_name=f"ip-10-0-0-{number + 3}.ec2.internal",
        configuration=AgentConfiguration(attributes={"stack": "blue"}),
        architecture="x86_64",
        interfaces_taken=1,
        now=START,
    )
    return replace(made, **changes)


def join(ready: Ecs, *instances: ContainerInstance) -> None:
    ready.store.transact(*(Put(CONTAINER_INSTANCE, each) for each in instances))


def on_ec2(ready: Ecs, family: str = "job", mode: str = "bridge", **container: Any) -> None:
    """Register a definition for instances."""
    ready(
        "RegisterTaskDefinition",
        family=family,
        networkMode=mode,
        requiresCompatibilities=["EC2"],
        containerDefinitions=[{"name": "main", "image": "busybox", "cpu": 512, "memory": 256, **container}],
    )


def resources(ready: Ecs, number: int = 1, kind: str = "remainingResources") -> dict[str, Any]:
    (shown,) = ready("DescribeContainerInstances", containerInstances=[f"{number:032x}"])["containerInstances"]
    return {each["name"]: each.get("stringSetValue", each["integerValue"]) for each in shown[kind]}


def finish(ready: Ecs, arn: str) -> None:
    task = ready.store.get(TASK, f"{SCOPE.prefix}default/{arn.rpartition('/')[2]}")
    assert task is not None
    ready.store.transact(Put(TASK, replace(task, last_status=TaskStatus.STOPPED, stopped_at=START)))


def test_there_are_none(ready: Ecs) -> None:
    """In a cluster without instances nothing is listed, and each instance named is MISSING."""
    assert ready("ListContainerInstances") == {"containerInstanceArns": []}
    assert ready("ListAttributes", targetType="container-instance") == {"attributes": []}
    failures = [{"arn": f"{ARN}/abc", "reason": "MISSING"}]
    described = ready("DescribeContainerInstances", containerInstances=["abc"])
    assert described == {"containerInstances": [], "failures": failures}
    started = ready("StartTask", taskDefinition="web", containerInstances=[f"{ARN}/abc"], networkConfiguration=NETWORK)
    assert started == {"tasks": [], "failures": failures}
    for operation in ("PutAttributes", "DeleteAttributes"):
        code, message = ready.error(operation, attributes=[{"name": "a", "targetId": "abc"}])
        assert code == "TargetNotFoundException"
        assert "wasn't found" in message


def test_wrong_calls(ready: Ecs) -> None:
    """An unknown cluster, an unknown definition, nothing named."""
    assert ready.error("ListContainerInstances", cluster="none")[0] == "ClusterNotFoundException"
    assert ready.error("StartTask", taskDefinition="none", containerInstances=["abc"])[0] == "ClientException"
    assert ready.error("DescribeContainerInstances", containerInstances=[])[0] == "InvalidParameterException"
    assert ready.error("PutAttributes", attributes=[])[0] == "InvalidParameterException"
    assert "Invalid expression" in ready.error("ListContainerInstances", filter="attribute:a=b")[1]


def test_described(ready: Ecs) -> None:
    """An instance has its type's CPU and memory, the reserved ports, and what tasks take is no longer there."""
    join(ready, instance_of())
    on_ec2(ready, portMappings=[{"containerPort": 80, "hostPort": 8080}, {"containerPort": 53, "protocol": "udp"}])
    before = resources(ready)
    assert (before["CPU"], before["MEMORY"]) == (2048, 2048)
    assert before["PORTS"] == ["22", "2376", "2375", "51678", "51679"]
    answer = ready("RunTask", taskDefinition="job")
    assert answer["failures"] == []
    assert answer["tasks"][0]["containerInstanceArn"] == f"{ARN}/{1:032x}"
    after = resources(ready)
    assert (after["CPU"], after["MEMORY"]) == (1536, 1792)
    assert after["PORTS"] == [*before["PORTS"], "8080"]
    assert after["PORTS_UDP"] == []
    assert resources(ready, kind="registeredResources") == before
    shown = ready("DescribeContainerInstances", containerInstances=[f"{ARN}/{1:032x}"], include=["TAGS"])
    check_answer("DescribeContainerInstances", shown)
    (instance,) = shown["containerInstances"]
    assert (instance["pendingTasksCount"], instance["runningTasksCount"]) == (1, 0)
    values = {each["name"]: each.get("value") for each in instance["attributes"]}
    assert values["ecs.instance-type"] == "t3.small"
    assert values["ecs.availability-zone"] == "us-east-1a"
    assert values["stack"] == "blue"
    (cluster,) = ready("DescribeClusters")["clusters"]
    assert cluster["registeredContainerInstancesCount"] == 1
    finish(ready, answer["tasks"][0]["taskArn"])
    assert resources(ready) == before


@pytest.mark.parametrize(
    ("container", "reason"),
    [
        ({"cpu": 4096}, "RESOURCE:CPU"),
        ({"memory": 4096}, "RESOURCE:MEMORY"),
        ({"portMappings": [{"containerPort": 80, "hostPort": 22}]}, "RESOURCE:PORTS"),
    ],
)
def test_no_room(ready: Ecs, container: dict[str, Any], reason: str) -> None:
    """A task that does not fit fails with ECS's reason for each instance, and none is made."""
    join(ready, instance_of(1), instance_of(2))
    on_ec2(ready, **container)
    answer = ready("RunTask", taskDefinition="job", count=2)
    assert answer["tasks"] == []
    assert answer["failures"] == [{"arn": f"{ARN}/{number:032x}", "reason": reason} for number in (1, 2)]


def test_one_port_one_instance(ready: Ecs) -> None:
    """Two tasks with one host port never share an instance, in host and in bridge mode; dynamic ports differ."""
    join(ready, instance_of(1), instance_of(2))
    on_ec2(ready, "host", "host", portMappings=[{"containerPort": 8080}])
    answer = ready("RunTask", taskDefinition="host", count=3)
    assert len({task["containerInstanceArn"] for task in answer["tasks"]}) == 2
    assert {each["reason"] for each in answer["failures"]} == {"RESOURCE:PORTS"}
    on_ec2(ready, "fixed", portMappings=[{"containerPort": 80, "hostPort": 8080}])
    assert {each["reason"] for each in ready("RunTask", taskDefinition="fixed")["failures"]} == {"RESOURCE:PORTS"}
    on_ec2(ready, "dynamic", cpu=10, portMappings=[{"containerPort": 80}, {"containerPort": 81, "hostPort": 0}])
    ready("RunTask", taskDefinition="dynamic", count=4)
    given: dict[str, list[int]] = {}
    for task in ready.store.scan(TASK):
        if task.family == "dynamic":
            given.setdefault(task.placement.container_instance, []).extend(b.host_port for b in task.placement.bindings)
    assert [len(set(ports)) for ports in given.values()] == [4, 4]
    assert all(32768 <= port <= 60999 for ports in given.values() for port in ports)


def test_addresses_rest(ready: Ecs) -> None:
    """Each container has an address of its own on the bridge; one that is given back is not given out next."""
    join(ready, instance_of())
    on_ec2(ready, cpu=10)
    first = ready("RunTask", taskDefinition="job", count=2)["tasks"]
    finish(ready, first[1]["taskArn"])
    ready.clock.pass_(seconds=1)
    ready("RunTask", taskDefinition="job")
    given = sorted(each.address for task in ready.store.scan(TASK) for each in task.placement.endpoints)
    assert given == ["172.17.0.2", "172.17.0.3", "172.17.0.4"]


def test_interfaces_of_an_instance(ready: Ecs) -> None:
    """A task in awsvpc mode takes an interface of the instance's, in a subnet of its zone; public addresses are not for
    instances."""
    join(ready, instance_of(1, instance_type="t3.small"), instance_of(2, zone="b"))
    on_ec2(ready, mode="awsvpc", cpu=10)
    both = {"awsvpcConfiguration": {"subnets": ["subnet-a", "subnet-b"]}}
    answer = ready("RunTask", taskDefinition="job", launchType="EC2", networkConfiguration=both, count=5)
    assert len(answer["tasks"]) == 4  # each t3.small has two interfaces besides its own
    assert {each["reason"] for each in answer["failures"]} == {"RESOURCE:ENI"}
    for task in ready.store.scan(TASK):
        assert task.network.subnet_ids == (f"subnet-{task.placement.zone[-1]}",)
    elsewhere = {"awsvpcConfiguration": {"subnets": ["subnet-x"]}}
    answer = ready("RunTask", taskDefinition="job", launchType="EC2", networkConfiguration=elsewhere)
    assert {each["reason"] for each in answer["failures"]} <= {"ATTRIBUTE", "RESOURCE:ENI"}
    public = {"awsvpcConfiguration": {"subnets": ["subnet-a"], "assignPublicIp": "ENABLED"}}
    assert ready.error("RunTask", taskDefinition="job", launchType="EC2", networkConfiguration=public) == (
        "InvalidParameterException",
        "Assign public IP is not supported for this launch type.",
    )


def placed_on(answer: Any) -> list[int]:
    return [int(task["containerInstanceArn"][-2:], 16) for task in answer["tasks"]]


def test_strategies(ready: Ecs) -> None:
    """binpack fills one instance first, spread goes over instances or zones, distinctInstance once on each."""
    join(ready, instance_of(1), instance_of(2), instance_of(3, zone="b"))
    on_ec2(ready, "small", cpu=100)
    on_ec2(ready, "other", cpu=100)
    packed = ready(
        "RunTask", taskDefinition="small", count=4, placementStrategy=[{"type": "binpack", "field": "memory"}]
    )
    assert len(set(placed_on(packed))) == 1
    zones = [{"type": "spread", "field": "attribute:ecs.availability-zone"}]
    spread = placed_on(ready("RunTask", taskDefinition="other", count=4, placementStrategy=zones))
    assert spread.count(3) == 2
    on_ec2(ready, "one", cpu=100)
    distinct = ready("RunTask", taskDefinition="one", count=5, placementConstraints=[{"type": "distinctInstance"}])
    assert sorted(placed_on(distinct)) == [1, 2, 3]
    assert len(distinct["failures"]) == 3
    for kind, field in (("binpack", "disk"), ("spread", "disk"), ("spread", "attribute:")):
        strategy = [{"type": kind, "field": field}]
        code, _ = ready.error("RunTask", taskDefinition="one", placementStrategy=strategy)
        assert code == "InvalidParameterException"


def test_spread_over_an_attribute(ready: Ecs) -> None:
    """Tasks are spread over what an attribute says; instances without it are alike."""
    join(ready, instance_of(1), instance_of(2), instance_of(3))
    ready("PutAttributes", attributes=[{"name": "rack", "value": "r1", "targetId": f"{n:032x}"} for n in (1, 2)])
    on_ec2(ready, "small", cpu=100)
    racks = [{"type": "spread", "field": "attribute:rack"}]
    assert placed_on(ready("RunTask", taskDefinition="small", count=4, placementStrategy=racks)).count(3) == 2


def test_start_task(ready: Ecs) -> None:
    """StartTask puts one task on each instance named, if there is room on it."""
    join(ready, instance_of(1), instance_of(2, status="DRAINING"), instance_of(3))
    on_ec2(ready, cpu=1500)
    answer = ready("StartTask", taskDefinition="job", containerInstances=[f"{n:032x}" for n in (1, 1, 2)])
    assert placed_on(answer) == [1]
    assert [each["reason"] for each in answer["failures"]] == ["RESOURCE:CPU", "INACTIVE"]
    check_answer("StartTask", answer)
    assert ready("ListTasks", containerInstance=f"{1:032x}")["taskArns"] == [answer["tasks"][0]["taskArn"]]
    assert ready("ListTasks", containerInstance=f"{3:032x}")["taskArns"] == []


def test_draining_and_disconnected(ready: Ecs) -> None:
    """No task goes to an instance that drains, or that can not be reached."""
    join(ready, instance_of(1), instance_of(2, agent_connected=False))
    on_ec2(ready)
    answer = ready("UpdateContainerInstancesState", containerInstances=[f"{1:032x}", "none"], status="DRAINING")
    check_answer("UpdateContainerInstancesState", answer)
    assert [each["status"] for each in answer["containerInstances"]] == ["DRAINING"]
    assert [each["reason"] for each in answer["failures"]] == ["MISSING"]
    assert ready("ListContainerInstances", status="DRAINING")["containerInstanceArns"] == [f"{ARN}/{1:032x}"]
    assert ready("RunTask", taskDefinition="job")["failures"] == [{"arn": f"{ARN}/{2:032x}", "reason": "AGENT"}]
    ready("UpdateContainerInstancesState", containerInstances=[f"{2:032x}"], status="DRAINING")
    assert ready.error("RunTask", taskDefinition="job")[1] == "No Container Instances were found in your cluster."
    ready("UpdateContainerInstancesState", containerInstances=[f"{1:032x}"], status="ACTIVE")
    assert placed_on(ready("RunTask", taskDefinition="job")) == [1]


def test_deregistered(ready: Ecs) -> None:
    """An instance with tasks is deregistered by force only, which ends them; a cluster with instances stays."""
    join(ready, instance_of())
    on_ec2(ready)
    arn = ready("RunTask", taskDefinition="job")["tasks"][0]["taskArn"]
    assert ready.error("DeregisterContainerInstance", containerInstance=f"{1:032x}") == (
        "InvalidParameterException",
        "Found running tasks on the instance.",
    )
    answer = ready("DeregisterContainerInstance", containerInstance=f"{ARN}/{1:032x}", force=True)
    check_answer("DeregisterContainerInstance", answer)
    assert answer["containerInstance"]["status"] == "INACTIVE"
    task = ready.store.get(TASK, f"{SCOPE.prefix}default/{arn.rpartition('/')[2]}")
    assert task.stop.code is StopCode.USER_INITIATED
    assert ready("ListContainerInstances")["containerInstanceArns"] == []
    finish(ready, arn)
    join(ready, instance_of(2))
    assert ready.error("DeleteCluster", cluster="default")[0] == "ClusterContainsContainerInstancesException"


def test_attributes(ready: Ecs) -> None:
    """Attributes of one's own are put, listed and deleted; those of ECS stay as they are."""
    join(ready, instance_of())
    target = f"{1:032x}"
    answer = ready("PutAttributes", attributes=[{"name": "disk", "value": "ssd", "targetId": target}])
    check_answer("PutAttributes", answer)
    listed = ready("ListAttributes", targetType="container-instance", attributeName="disk")
    check_answer("ListAttributes", listed)
    assert listed["attributes"] == [{"name": "disk", "value": "ssd", "targetId": f"{ARN}/{target}"}]
    check_answer("DeleteAttributes", ready("DeleteAttributes", attributes=[{"name": "disk", "targetId": target}]))
    assert ready("ListAttributes", targetType="container-instance", attributeName="disk")["attributes"] == []
    builtin = [{"name": "ecs.instance-type", "value": "x", "targetId": target}]
    assert ready.error("PutAttributes", attributes=builtin)[0] == "InvalidParameterException"
    many = [{"name": f"a{number}", "value": "x", "targetId": target} for number in range(10)]
    assert ready.error("PutAttributes", attributes=many)[0] == "AttributeLimitExceededException"


def test_no_ports_lead_to_a_container_without_a_network(ready: Ecs) -> None:
    """With disableNetworking no port of the instance is taken, fixed or dynamic, and none is shown."""
    join(ready, instance_of())
    ports = [{"containerPort": 80, "hostPort": 8080}, {"containerPort": 81}]
    on_ec2(ready, cpu=10, portMappings=ports, disableNetworking=True)
    answer = ready("RunTask", taskDefinition="job", count=2)
    assert (len(answer["tasks"]), answer["failures"]) == (2, [])
    assert [task.placement.bindings for task in ready.store.scan(TASK)] == [(), ()]


def test_port_ranges(ready: Ecs) -> None:
    """A range of container ports gets as many dynamic ports in a row, in no other task's way."""
    join(ready, instance_of())
    on_ec2(ready, cpu=10, portMappings=[{"containerPortRange": "8000-8009"}, {"containerPort": 80}])
    shown = ready("DescribeTaskDefinition", taskDefinition="job")["taskDefinition"]["containerDefinitions"][0]
    assert shown["portMappings"][0] == {"containerPortRange": "8000-8009", "protocol": "tcp"}
    ready("RunTask", taskDefinition="job", count=2)
    taken: list[int] = []
    for task in ready.store.scan(TASK):
        wide, narrow = task.placement.bindings
        assert len(wide.host_ports) == 10
        assert narrow.count is None
        taken += [*wide.host_ports, *narrow.host_ports]
        task = replace(task, history=tuple(replace(each, started_at=START) for each in task.history))
        ready.store.transact(Put(TASK, task))
        (container,) = ready("DescribeTasks", tasks=[task.id])["tasks"][0]["containers"]
        first = wide.host_port
        assert container["networkBindings"][0] == {
            "bindIP": "0.0.0.0",
            "containerPortRange": "8000-8009",
            "hostPortRange": f"{first}-{first + 9}",
            "protocol": "tcp",
        }
    assert len(set(taken)) == len(taken) == 22


@pytest.mark.parametrize(
    ("mode", "container", "words"),
    [
        ("host", {"portMappings": [{"containerPortRange": "80-90"}]}, "not supported when networkMode=host"),
        ("bridge", {"portMappings": [{"containerPortRange": "90-80"}]}, "Invalid containerPortRange '90-80'"),
        ("bridge", {"portMappings": [{"containerPortRange": "80-90", "containerPort": 80}]}, "either a containerPort"),
        (
            "bridge",
            {"portMappings": [{"containerPortRange": "80-90"}, {"containerPort": 85}]},
            "maps container port 85/tcp more than once",
        ),
        ("host", {"links": ["db"]}, "Links are not supported when networkMode=host"),
        ("bridge", {"links": ["db:database"]}, "has an invalid link: 'db:database'"),
        ("none", {"portMappings": [{"containerPort": 80}]}, "not supported when networkMode=none"),
    ],
)
def test_refused_definitions(ready: Ecs, mode: str, container: dict[str, Any], words: str) -> None:
    """Port ranges and links have the modes that AWS gives them, and name what is there."""
    definition = {"name": "main", "image": "busybox", "memory": 64, **container}
    code, message = ready.error(
        "RegisterTaskDefinition", family="job", networkMode=mode, containerDefinitions=[definition]
    )
    assert code == "ClientException"
    assert words in message


def test_links(ready: Ecs) -> None:
    """A linked container starts first; links in a circle are refused."""
    join(ready, instance_of())
    containers = [
        {"name": "web", "image": "busybox", "memory": 64, "links": ["db:database"]},
        {"name": "db", "image": "busybox", "memory": 64},
    ]
    ready("RegisterTaskDefinition", family="pair", containerDefinitions=containers)
    ready("RunTask", taskDefinition="pair")
    (task,) = ready.store.scan(TASK)
    assert [each.container for each in task.containers[0].depends_on] == ["db"]
    containers[1]["links"] = ["web"]
    assert "cycle" in ready.error("RegisterTaskDefinition", family="pair", containerDefinitions=containers)[1]


def test_constraints(ready: Ecs) -> None:
    """Tasks go to members of an expression only, the request's and their definition's; listings take one as well."""
    join(ready, instance_of(1), instance_of(2, instance_type="m5.large", zone="b"))
    on_ec2(ready, "job", cpu=10)
    m5 = [{"type": "memberOf", "expression": "attribute:ecs.instance-type =~ m5.*"}]
    assert placed_on(ready("RunTask", taskDefinition="job", placementConstraints=m5, count=3)) == [2, 2, 2]
    none = [{"type": "memberOf", "expression": "attribute:ecs.instance-type == c5.large"}]
    answer = ready("RunTask", taskDefinition="job", placementConstraints=none)
    assert {each["reason"] for each in answer["failures"]} == {"MemberOf placement constraint unsatisfied."}
    ready(
        "RegisterTaskDefinition",
        family="apart",
        containerDefinitions=[{"name": "main", "image": "busybox", "memory": 64}],
        placementConstraints=[{"type": "memberOf", "expression": "not(task:group == family:job)"}],
    )
    shown = ready("DescribeTaskDefinition", taskDefinition="apart")["taskDefinition"]
    assert shown["placementConstraints"] == [{"type": "memberOf", "expression": "not(task:group == family:job)"}]
    assert shown["compatibilities"] == ["EXTERNAL", "EC2"]
    assert placed_on(ready("RunTask", taskDefinition="apart", count=2)) == [1, 1]
    listed = ready("ListContainerInstances", filter="attribute:ecs.availability-zone in [us-east-1b, us-east-1c]")
    assert listed["containerInstanceArns"] == [f"{ARN}/{2:032x}"]
    broken = [{"type": "memberOf", "expression": "instance-type"}]
    assert ready.error("RunTask", taskDefinition="job", placementConstraints=broken)[0] == "InvalidParameterException"


def test_tags(ready: Ecs) -> None:
    """A container instance has tags, shown where they are asked for."""
    join(ready, instance_of())
    ready("TagResource", resourceArn=f"{ARN}/{1:032x}", tags=[{"key": "a", "value": "b"}])
    assert ready("ListTagsForResource", resourceArn=f"{ARN}/{1:032x}") == {"tags": [{"key": "a", "value": "b"}]}
    (shown,) = ready("DescribeContainerInstances", containerInstances=[f"{1:032x}"], include=["TAGS"])[
        "containerInstances"
    ]
    assert shown["tags"] == [{"key": "a", "value": "b"}]


def test_story(ready: Ecs) -> None:
    """A task's story tells on which instance it is, and by which ports it is reached."""
    join(ready, instance_of())
    on_ec2(ready, portMappings=[{"containerPort": 80, "hostPort": 8080}])
    ready("RunTask", taskDefinition="job")
    (task,) = ready.store.scan(TASK)
    assert [(each.what, each.detail) for each in task.story][1:] == [
        ("Placed", "on i-00000000000000001: 8080/tcp for main")
    ]


def proof(ready: Ecs, instance: Instance) -> dict[str, str]:
    """What an instance shows of itself."""
    text = document(instance)
    return {"instanceIdentityDocument": text, "instanceIdentityDocumentSignature": ready.identities.signature(text)}


def test_registered(ready: Ecs) -> None:
    """An instance that was deregistered joins again by its document, with as much of it as it says; twice is once."""
    instance = ec2_instance()
    ready.store.transact(Put(INSTANCE, instance))
    resources_given = [
        {"name": "MEMORY", "type": "INTEGER", "integerValue": 1024},
        {"name": "PORTS", "type": "STRINGSET", "stringSetValue": ["22", "9000"]},
    ]
    answer = ready(
        "RegisterContainerInstance",
        **proof(ready, instance),
        totalResources=resources_given,
        attributes=[{"name": "disk", "value": "ssd"}, {"name": "ecs.os-type", "value": "plan9"}],
        tags=[{"key": "a", "value": "b"}],
    )
    check_answer("RegisterContainerInstance", answer)
    shown = answer["containerInstance"]
    assert (shown["ec2InstanceId"], shown["status"], shown["agentConnected"]) == (instance.id, "ACTIVE", True)
    found = {each["name"]: each.get("stringSetValue", each["integerValue"]) for each in shown["registeredResources"]}
    assert found == {"CPU": 2048, "MEMORY": 1024, "PORTS": ["22", "9000", "51678", "51679"], "PORTS_UDP": []}
    values = {each["name"]: each.get("value") for each in shown["attributes"]}
    assert (values["disk"], values["ecs.os-type"]) == ("ssd", "linux")
    again = ready("RegisterContainerInstance", **proof(ready, instance))["containerInstance"]
    assert again["containerInstanceArn"] == shown["containerInstanceArn"]
    assert len(ready("ListContainerInstances")["containerInstanceArns"]) == 1
    ready("CreateCluster", clusterName="other")
    elsewhere = ready.error("RegisterContainerInstance", cluster="other", **proof(ready, instance))
    assert "is registered in the cluster default" in elsewhere[1]


def test_not_proven(ready: Ecs) -> None:
    """Nobody registers an instance without its document and signature, one that does not run, or more than it has."""
    instance = ec2_instance()
    ready.store.transact(Put(INSTANCE, instance))
    shown = proof(ready, instance)
    text = shown["instanceIdentityDocument"]
    for wrong in (
        {},
        {"instanceIdentityDocument": "{}"},
        {**shown, "instanceIdentityDocumentSignature": "AAAA"},
        {**shown, "instanceIdentityDocument": text.replace("t3.small", "m5.24xlarge")},
        proof(ready, ec2_instance(2)),
    ):
        assert ready.error("RegisterContainerInstance", **wrong)[0] == "ClientException"
    more = [{"name": "CPU", "type": "INTEGER", "integerValue": 4096}]
    assert ready.error("RegisterContainerInstance", **shown, totalResources=more)[0] == "InvalidParameterException"
    ready.store.transact(Put(INSTANCE, replace(instance, state=InstanceState.STOPPED)))
    assert "is not running" in ready.error("RegisterContainerInstance", **shown)[1]
    assert ready("ListContainerInstances")["containerInstanceArns"] == []
