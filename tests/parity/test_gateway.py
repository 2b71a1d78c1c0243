"""The gateway over HTTP: each protocol through boto3, and what is not a proper request."""

import asyncio
import gzip
import http.client
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore
import msgspec
import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from portside.aws.gateway import INTERNAL, XML_SERVICES
from portside.aws.model import Metadata
from portside.aws.service import Params, RequestContext, Result, Service, ServiceError
from portside.aws.signature import Secret, SignatureVerifier

SCOPE = "20260101/us-east-1/{}/aws4_request"
AT = datetime(2026, 5, 17, 12, 30, 1, 234000, tzinfo=UTC)


class Fake:
    """Handlers that keep what they were given and answer what they are told."""

    def __init__(self) -> None:
        self.seen: Params = {}
        self.context: RequestContext | None = None
        self.answer: Result | None = None
        self.error: Exception | None = None

    def __call__(self, context: RequestContext, params: Params) -> Result | None:
        self.seen, self.context = params, context
        if self.error is not None:
            raise self.error
        return self.answer

    async def later(self, context: RequestContext, params: Params) -> Result | None:
        return self(context, params)

    def services(self) -> list[Service]:
        return [
            Service("ecs", {"RegisterTaskDefinition": self, "DescribeTasks": self.later, "CreateCluster": self}),
            Service("ec2", {"DescribeSubnets": self, "CreateSecurityGroup": self, "DeleteSecurityGroup": self}),
            Service("elbv2", {"CreateTargetGroup": self, "DescribeTargetGroups": self}),
            Service("logs", {"PutLogEvents": self, "CreateLogGroup": self}),
        ]


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture
def served(serve: Callable[..., Any], fake: Fake) -> Any:
    return serve(fake.services())


def error_of(call: Any, **params: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"]


def send(
    served: Any, body: bytes, service: str = "ecs", target: str | None = None, **headers: str
) -> tuple[int, Mapping[str, str], bytes]:
    """A POST by hand, with a credential but no true signature."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    credential = f"Credential=000000000000/{SCOPE.format(service)}, SignedHeaders=host, Signature=0"
    sent = {"Authorization": f"AWS4-HMAC-SHA256 {credential}", **{k.replace("_", "-"): v for k, v in headers.items()}}
    if target is not None:
        sent["X-Amz-Target"] = f"AmazonEC2ContainerServiceV20141113.{target}"
        sent["Content-Type"] = "application/x-amz-json-1.1"
    connection.request("POST", "/", body, {name: value for name, value in sent.items() if value})
    answer = connection.getresponse()
    read = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, read


def test_json_both_ways(served: Any, fake: Fake) -> None:
    """JSON parameters arrive as sent, and a result comes back with its times."""
    fake.answer = {"tasks": [{"taskArn": "arn:ü", "createdAt": AT, "version": 3, "cpu": None}], "failures": []}
    answer = served.client("ecs", key="123456789012", region="eu-west-1").describe_tasks(
        tasks=["a", "ß"], include=["TAGS"]
    )
    assert fake.seen == {"tasks": ["a", "ß"], "include": ["TAGS"]}
    assert fake.context is not None
    assert (fake.context.account, fake.context.region, fake.context.operation) == (
        "123456789012",
        "eu-west-1",
        "DescribeTasks",
    )
    assert answer["tasks"] == [{"taskArn": "arn:ü", "createdAt": AT, "version": 3}]
    assert answer["ResponseMetadata"]["RequestId"] == fake.context.request_id


def test_ec2_both_ways(served: Any, fake: Fake) -> None:
    """EC2's flat lists arrive nested, and nested results come back."""
    fake.answer = {
        "Subnets": [{"SubnetId": "s-1", "Tags": [{"Key": "a", "Value": "<&>"}], "MapPublicIpOnLaunch": True}]
    }
    answer = served.client("ec2").describe_subnets(
        Filters=[{"Name": "vpc-id", "Values": ["v1", "v2"]}, {"Name": "x", "Values": ["y"]}], MaxResults=10
    )
    assert fake.seen == {
        "Filters": [{"Name": "vpc-id", "Values": ["v1", "v2"]}, {"Name": "x", "Values": ["y"]}],
        "MaxResults": 10,
    }
    assert answer["Subnets"] == fake.answer["Subnets"]


def test_query_both_ways(served: Any, fake: Fake) -> None:
    """The query protocol's lists of members arrive as lists, and its wrapped result comes back."""
    fake.answer = {"TargetGroups": [{"TargetGroupArn": "arn", "Port": 80, "LoadBalancerArns": ["a", "b"]}]}
    answer = served.client("elbv2").create_target_group(Name="t", Port=80, Tags=[{"Key": "k", "Value": "v"}])
    assert fake.seen == {"Name": "t", "Port": 80, "Tags": [{"Key": "k", "Value": "v"}]}
    assert answer["TargetGroups"] == fake.answer["TargetGroups"]


def test_no_output(served: Any, fake: Fake) -> None:
    """Operations without a result answer in each protocol's empty form."""
    served.client("logs").create_log_group(logGroupName="/a", tags={"k": "v"})
    assert fake.seen == {"logGroupName": "/a", "tags": {"k": "v"}}
    fake.answer = {"Return": True, "GroupId": "sg-1"}
    assert served.client("ec2").delete_security_group(GroupId="sg-1")["Return"] is True


def test_compressed_request(served: Any, fake: Fake) -> None:
    """A gzip body is inflated; one that inflates beyond the limit is refused; a broken one is, too."""
    body = gzip.compress(json.dumps({"clusterName": "c"}).encode())
    fake.answer = {}
    assert send(served, body, target="CreateCluster", Content_Encoding="gzip")[0] == 200
    assert fake.seen == {"clusterName": "c"}
    bomb = gzip.compress(b" " * (50 * 1024 * 1024))
    assert send(served, bomb, target="CreateCluster", Content_Encoding="gzip")[0] == 413
    status, _, answer = send(served, body[:-9], target="CreateCluster", Content_Encoding="gzip")
    assert (status, json.loads(answer)["__type"]) == (400, "SerializationException")


@pytest.mark.parametrize("chunked", [False, True])
def test_large_body(served: Any, fake: Fake, chunked: bool) -> None:
    """A body of 50 MB is refused with 413, and the connection's next request is answered."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    credential = f"AWS4-HMAC-SHA256 Credential=0/{SCOPE.format('ecs')}, SignedHeaders=host, Signature=0"
    headers = {"Authorization": credential, "X-Amz-Target": "AmazonEC2ContainerServiceV20141113.CreateCluster"}
    piece = b" " * 1024 * 1024
    body = (piece for _ in range(50)) if chunked else piece * 50
    connection.request("POST", "/", body, headers, encode_chunked=chunked)
    answer = connection.getresponse()
    said = json.loads(answer.read())
    assert answer.status == 413
    assert said["__type"] == "RequestEntityTooLarge"
    assert "10485760 bytes" in said["message"]
    fake.answer = {}
    connection.request("POST", "/", b"{}", headers)
    assert connection.getresponse().status == 200
    connection.close()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"clusterName": ', "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[]", "Start of list found where not expected."),
        (b'"x"', "Expected a structure"),
        (b'{"clusterName": 3}', "NUMBER_VALUE cannot be converted to String"),
        (b'{"clusterName": true}', "TRUE_VALUE cannot be converted to String"),
        (b'{"clusterName": {}}', "Start of structure or map found where not expected."),
        (b'{"tags": "x"}', "Expected list or null"),
        (b'{"tags": ["x"]}', "Expected a structure"),
    ],
)
def test_broken_json(served: Any, body: bytes, message: str) -> None:
    """What is not JSON, or not of the model's types, is a SerializationException that says what was met."""
    status, headers, answer = send(served, body, target="CreateCluster")
    assert (status, json.loads(answer)["__type"]) == (400, "SerializationException")
    assert message in json.loads(answer)["message"]
    assert headers["content-type"] == "application/x-amz-json-1.1"
    assert len(headers["x-amzn-requestid"]) == 36


def test_integer_range(served: Any, fake: Fake) -> None:
    """An integer takes 32 bits; one more is refused, the largest is not."""
    ecs, fake.answer = served.client("ecs"), {}
    code, _, message = error_of(ecs.register_task_definition, family="f", containerDefinitions=[{"memory": 2**31}])
    assert (code, message) == ("SerializationException", "Numeric value (2147483648) out of range of Integer")
    ecs.register_task_definition(family="f", containerDefinitions=[{"memory": 2**31 - 1}])
    assert fake.seen["containerDefinitions"] == [{"memory": 2**31 - 1}]


def test_json_leniency(served: Any, fake: Fake) -> None:
    """Unknown members and nulls are left out, an empty body is no parameters: as AWS does."""
    fake.answer = {}
    assert send(served, b'{"clusterName": null, "unheardOf": [1]}', target="CreateCluster")[0] == 200
    assert fake.seen == {}
    assert send(served, b"", target="CreateCluster")[0] == 200


def test_json_validation(served: Any) -> None:
    """Every violated rule is named, with its path, in AWS's words and the service's own error code."""
    ecs, logs = served.client("ecs"), served.client("logs")
    code, status, message = error_of(ecs.register_task_definition, networkMode="x")
    assert (code, status) == ("ClientException", 400)
    assert message.startswith("3 validation errors detected: ")
    assert (
        "Value 'x' at 'networkMode' failed to satisfy constraint: "
        "Member must satisfy enum value set: [bridge, host, awsvpc, none]" in message
    )
    assert "Value null at 'family' failed to satisfy constraint: Member must not be null" in message
    containers = [{"name": "a", "portMappings": [{"containerPort": 1, "protocol": "sctp"}]}]
    message = error_of(ecs.register_task_definition, family="f", containerDefinitions=containers)[2]
    assert "at 'containerDefinitions.1.member.portMappings.1.member.protocol'" in message
    code, _, message = error_of(logs.create_log_group, logGroupName="a b")
    assert code == "InvalidParameterException"
    assert "Value 'a b' at 'logGroupName' failed to satisfy constraint: Member must satisfy regular" in message
    assert error_of(logs.create_log_group)[2] == (
        "1 validation error detected: "
        "Value null at 'logGroupName' failed to satisfy constraint: Member must not be null"
    )
    message = error_of(logs.create_log_group, logGroupName="a", tags={"k": "v" * 257})[2]
    assert (
        "at 'tags' failed to satisfy constraint: Map value must satisfy constraint: [Member must have length" in message
    )


def test_ec2_validation(served: Any, fake: Fake) -> None:
    """EC2 names the parameter that is missing, of a wrong value, or unknown; a dry run does nothing."""
    ec2 = served.client("ec2")
    assert error_of(ec2.create_security_group, Description="d")[:2] == ("MissingParameter", 400)
    assert error_of(ec2.create_security_group, GroupName="g")[2] == (
        "The request must contain the parameter groupDescription"
    )
    code, _, message = error_of(ec2.describe_subnets, MaxResults=1)
    assert (code, message) == (
        "InvalidParameterValue",
        "Value ( 1 ) for parameter maxResults is invalid. Expecting a value greater than 5.",
    )
    status, _, answer = send(served, b"Action=DescribeSubnets&Version=2016-11-15&Subnets=x", "ec2")
    assert status == 400
    assert b"<Code>UnknownParameter</Code>" in answer
    assert b"<RequestID>" in answer
    status, _, answer = send(served, b"Action=DescribeSubnets&Version=2016-11-15&MaxResults=x", "ec2")
    assert b"Value (x) for parameter maxResults is invalid. Expecting an integer." in answer
    fake.seen = {}
    code, status, _ = error_of(ec2.create_security_group, GroupName="g", Description="d", DryRun=True)
    assert (code, status, fake.seen) == ("DryRunOperation", 412, {})


@pytest.mark.parametrize(
    ("service", "call", "error", "expected"),
    [
        ("ecs", "create_cluster", ServiceError("ClusterNotFoundException", "m"), ("ClusterNotFoundException", 400)),
        ("ecs", "create_cluster", ServiceError("ServerException", "m"), ("ServerException", 500)),
        (
            "elbv2",
            "describe_target_groups",
            ServiceError("TargetGroupNotFoundException", "m"),
            ("TargetGroupNotFound", 400),
        ),
        ("elbv2", "describe_target_groups", ServiceError("TargetGroupNotFound", "m"), ("TargetGroupNotFound", 400)),
        ("ec2", "describe_subnets", ServiceError("InvalidSubnetID.NotFound", "m"), ("InvalidSubnetID.NotFound", 400)),
    ],
)
def test_service_errors(
    served: Any, fake: Fake, service: str, call: str, error: ServiceError, expected: tuple[str, int]
) -> None:
    """A service error shows with the code and status that the service's model gives its shape."""
    fake.error = error
    assert error_of(getattr(served.client(service), call)) == (*expected, "m")


@pytest.mark.parametrize(
    ("service", "call", "code"),
    [
        ("ecs", "create_cluster", "ServerException"),
        ("elbv2", "describe_target_groups", "InternalFailure"),
        ("ec2", "describe_subnets", "InternalError"),
    ],
)
def test_bug(served: Any, fake: Fake, caplog: pytest.LogCaptureFixture, service: str, call: str, code: str) -> None:
    """An unexpected exception is a 500 that names the request, logged once with its traceback."""
    fake.error = LookupError("the\x00reason")
    with caplog.at_level(logging.ERROR):
        found, status, message = error_of(getattr(served.client(service), call))
    assert (found, status) == (code, 500)
    assert "LookupError: the" in message
    logged = [record for record in caplog.records if record.exc_info]
    assert len(logged) == 1
    assert fake.context is not None
    assert fake.context.request_id in logged[0].getMessage()


def test_result_not_of_the_model(served: Any, fake: Fake) -> None:
    """A result that the model does not allow is a bug that shows, not an answer that breaks typed clients."""
    for answer in ({"clusters": {}}, {"cluster": {"clusterName": 3}}, {"cluster": {"tags": "x"}}):
        fake.answer = answer
        assert error_of(served.client("ecs").create_cluster)[:2] == ("ServerException", 500)


def test_mapped_error(serve: Callable[..., Any], fake: Fake) -> None:
    """An exception that the composition root knows becomes the service error it says."""
    fake.error = OSError("disk full")

    def mapper(error: Exception) -> ServiceError | None:
        return ServiceError("ServerException", f"cannot store: {error}", 503) if isinstance(error, OSError) else None

    ecs = serve(fake.services(), error_mapper=mapper).client("ecs")
    assert error_of(ecs.create_cluster) == ("ServerException", 503, "cannot store: disk full")


def test_mapped_failure_has_the_services_code(serve: Callable[..., Any], fake: Fake) -> None:
    """A failure of the server's is named as each service names its own."""
    fake.error = OSError("disk full")
    served = serve(fake.services(), error_mapper=lambda error: ServiceError(INTERNAL, f"cannot store: {error}", 500))
    said = "cannot store: disk full"
    assert error_of(served.client("ecs").create_cluster) == ("ServerException", 500, said)
    assert error_of(served.client("elbv2").describe_target_groups) == ("InternalFailure", 500, said)


def test_not_implemented(served: Any) -> None:
    """Operations, services and the classic load balancer API that are not there say so with 501 and their name."""
    for service, call, params, named in (
        ("ecs", "create_capacity_provider", {"name": "x"}, "ecs:CreateCapacityProvider"),
        ("ec2", "describe_vpcs", {}, "ec2:DescribeVpcs"),
        ("elbv2", "describe_rules", {}, "elbv2:DescribeRules"),
        ("elb", "describe_load_balancers", {}, "elb:DescribeLoadBalancers"),
        ("sqs", "list_queues", {}, "sqs:ListQueues"),
        ("sns", "list_topics", {}, "sns:ListTopics"),
        ("dynamodb", "list_tables", {}, "dynamodb:ListTables"),
        ("eks", "list_clusters", {}, "the service eks"),
        ("lambda", "list_functions", {}, "the service lambda"),
        ("sesv2", "send_email", {"Content": {}}, "the service ses"),
        ("batch", "describe_job_queues", {}, "the service batch"),
        ("s3", "list_buckets", {}, "the service s3"),
        ("route53", "list_hosted_zones", {}, "the service route53"),
    ):
        code, status, message = error_of(getattr(served.client(service), call), **params)
        assert (code, status) == ("NotImplemented", 501)
        assert f"Portside does not implement {named}. docs/coverage.md" in message


class Described(msgspec.Struct):
    """Of a model, what its service speaks."""

    metadata: Metadata


def test_services_of_xml() -> None:
    """Those that speak REST with XML are the ones that the models say."""
    found = set()
    for folder in Path(str(botocore.__file__)).parent.glob("data/*"):
        for path in sorted(folder.glob("*/service-2.json.gz"))[-1:]:
            metadata = msgspec.json.decode(gzip.decompress(path.read_bytes()), type=Described).metadata
            if metadata.protocol == "rest-xml":
                found.add(metadata.signingName or metadata.endpointPrefix)
    assert found == XML_SERVICES


def test_unknown_operation(served: Any) -> None:
    """An operation that AWS does not have gets AWS's own answer."""
    status, _, answer = send(served, b"{}", target="MakeCoffee")
    assert (status, json.loads(answer)["__type"]) == (400, "UnknownOperationException")
    status, _, answer = send(served, b"Action=MakeCoffee&Version=2016-11-15", "ec2")
    assert status == 400
    assert b"<Code>InvalidAction</Code>" in answer
    status, _, answer = send(served, b"Version=2015-12-01", "elasticloadbalancing")
    assert b"<Code>MissingAction</Code>" in answer


def test_unsigned(served: Any) -> None:
    """An unsigned request is refused with 403 in the form of the protocol that it speaks."""
    status, _, answer = send(served, b"{}", target="CreateCluster", Authorization="")
    assert (status, json.loads(answer)["__type"]) == (403, "MissingAuthenticationTokenException")
    status, _, answer = send(served, b"Action=DescribeSubnets&Version=2016-11-15", Authorization="")
    assert status == 403
    assert b"<Response><Errors><Error><Code>MissingAuthenticationToken</Code>" in answer
    status, _, answer = send(served, b"Action=DescribeTargetGroups&Version=2015-12-01", Authorization="")
    assert status == 403
    assert b"<Code>MissingAuthenticationToken</Code>" in answer
    status, _, answer = send(served, b"{}", target="CreateCluster", Authorization="Bearer x")
    assert (status, json.loads(answer)["__type"]) == (400, "IncompleteSignatureException")


def test_foreign_pages(served: Any, fake: Fake) -> None:
    """With any credentials accepted, pages of other sites and names in the public DNS are refused."""
    fake.answer = {}
    for headers in (
        {"Origin": "https://evil.example"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Host": "evil.example:4566"},
    ):
        status, _, answer = send(served, b"{}", target="CreateCluster", **headers)
        assert (status, json.loads(answer)["__type"]) == (403, "AccessDenied")
    for host in ("localhost:4566", "[::1]:4566", "portside", "a.localhost"):
        assert send(served, b"{}", target="CreateCluster", Host=host)[0] == 200


def test_page(served: Any) -> None:
    """The address opened in a browser says what it is."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("content-type")) == (200, "text/plain; charset=utf-8")
    assert f"AWS_ENDPOINT_URL=http://127.0.0.1:{served.port}" in answer.read().decode()
    connection.close()


def test_extensions(serve: Callable[..., Any]) -> None:
    """Portside's own endpoints answer by exact path or prefix; a stream ends when its client leaves."""
    ended: list[bool] = []

    async def endless() -> AsyncIterator[bytes]:
        try:
            yield b"first\n"
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def run(method: str, path: str, query: Mapping[str, str], body: bytes) -> Any:
        if path == "/_portside/stream":
            return 200, "text/plain", endless()
        if path == "/_portside/bug":
            raise LookupError("no")
        return 200, "application/json", json.dumps([method, path, query, body.decode()]).encode()

    served = serve([], extensions={"/_portside/health": run, "/_portside/": run})

    def ask(method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
        connection.request(method, path, body)
        answer = connection.getresponse()
        read = answer.read(6) if path.endswith("stream") else answer.read()
        connection.close()
        answer.close()
        return answer.status, read

    assert json.loads(ask("GET", "/_portside/health?a=b%20c")[1]) == ["GET", "/_portside/health", {"a": "b c"}, ""]
    assert json.loads(ask("POST", "/_portside/other/x", b"y")[1]) == ["POST", "/_portside/other/x", {}, "y"]
    assert ask("GET", "/_portside/bug")[0] == 500
    assert ask("GET", "/_portside/stream") == (200, b"first\n")
    deadline = time.monotonic() + 10
    while not ended and time.monotonic() < deadline:
        ask("GET", "/_portside/health")
    assert ended


def test_signatures(serve: Callable[..., Any], fake: Fake) -> None:
    """With verification on, each protocol accepts a true signature and has its own words for a false one."""
    fake.answer = {}
    verifier = SignatureVerifier({"000000000000": Secret("right")}.get, lambda: datetime.now(UTC))

    async def health(*_: Any) -> Any:
        return 200, "text/plain", b"ok"

    served = serve(fake.services(), auth=verifier, extensions={"/_portside/health": health, "/_portside/x": health})
    for service, call, mismatch, unknown in (
        ("ecs", "create_cluster", "InvalidSignatureException", "UnrecognizedClientException"),
        ("elbv2", "describe_target_groups", "SignatureDoesNotMatch", "InvalidClientTokenId"),
        ("ec2", "describe_subnets", "AuthFailure", "AuthFailure"),
    ):
        assert getattr(served.client(service, secret="right"), call)()["ResponseMetadata"]["HTTPStatusCode"] == 200
        assert error_of(getattr(served.client(service, secret="wrong"), call))[0] == mismatch
        assert error_of(getattr(served.client(service, key="AKIANONE"), call))[0] == unknown
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    for path, status in (("/_portside/health", 200), ("/_portside/x", 403)):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
    connection.close()


def test_presigned(served: Any, fake: Fake) -> None:
    """A presigned URL is answered: scope from the query, parameters without those of the signature."""
    fake.answer = {"Subnets": []}
    request = AWSRequest("GET", f"{served.url}/?Action=DescribeSubnets&Version=2016-11-15&SubnetId.1=s-1")
    SigV4QueryAuth(Credentials("123456789012", "s"), "ec2", "eu-north-1", expires=60).add_auth(request)
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    connection.request("GET", request.url.removeprefix(served.url))
    assert connection.getresponse().status == 200
    connection.close()
    assert fake.seen == {"SubnetIds": ["s-1"]}
    assert fake.context is not None
    assert (fake.context.account, fake.context.region) == ("123456789012", "eu-north-1")


def test_command_line_errors(served: Any, fake: Fake) -> None:
    """The aws command prints what is not implemented, and a service error, as it prints AWS's."""
    done = served.run_aws("ecs", "list-attributes", "--target-type", "container-instance")
    assert done.returncode != 0
    assert "(NotImplemented) when calling the ListAttributes operation: Portside does not implement" in done.stderr
    fake.error = ServiceError("InvalidSubnetID.NotFound", "The subnet ID 's-1' does not exist")
    done = served.run_aws("ec2", "describe-subnets", "--subnet-ids", "s-1")
    assert "(InvalidSubnetID.NotFound) when calling the DescribeSubnets operation: The subnet ID 's-1'" in done.stderr
    fake.error = None
    fake.answer = {"cluster": {"clusterName": "x"}}
    assert served.aws("ecs", "create-cluster", "--cluster-name", "x") == {"cluster": {"clusterName": "x"}}
