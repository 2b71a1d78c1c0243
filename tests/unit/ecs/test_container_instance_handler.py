"""Container instances: what a cluster without any answers."""

from ecs_sample import ACCOUNT, REGION, Ecs


def test_there_are_none(ready: Ecs) -> None:
    """Nothing is listed, and each instance named is MISSING, to describe it or to start a task on it."""
    assert ready("ListContainerInstances") == {"containerInstanceArns": []}
    assert ready("ListAttributes", targetType="container-instance") == {"attributes": []}
    arn = f"arn:aws:ecs:{REGION}:{ACCOUNT}:container-instance/default/abc"
    failures = [{"arn": arn, "reason": "MISSING"}]
    described = ready("DescribeContainerInstances", containerInstances=["abc"])
    assert described == {"containerInstances": [], "failures": failures}
    started = ready("StartTask", taskDefinition="web", containerInstances=[arn])
    assert started == {"tasks": [], "failures": failures}


def test_attributes_need_a_target(ready: Ecs) -> None:
    """Attributes belong to container instances, of which there is none."""
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
