"""Callers are recognised by their session's keys, through boto3 and the aws command with their own signing."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from served import Served

from portside.api.ec2.service import ec2_service
from portside.api.ecs.service import ecs_service
from portside.api.iam.service import iam_service
from portside.api.sts.recognition import secret_of_session
from portside.api.sts.service import sts_service
from portside.aws.service import Params, RequestContext, ServiceError
from portside.aws.signature import Secret, SignatureVerifier
from portside.control.clock import RandomIds
from portside.domain.session import RoleCredentials
from portside.domain.table import SESSION
from portside.session.issue import StsSessions
from portside.session.key import SessionKeys
from portside.store.interface import Delete
from portside.store.memory import MemoryStore
from portside.testing.clock import FakeClock
from portside.vault.aes import AesVault

TASK = "arn:aws:ecs:us-east-1:222222222222:task/default/0123456789abcdef0123456789abcdef"
ROLE = "arn:aws:iam::222222222222:role/app/worker"
SESSION_ARN = f"arn:aws:sts::222222222222:assumed-role/worker/{TASK[-32:]}"
OWN = "AKIAINSTANCESOWNKEY2"


@dataclass
class World:
    served: Served
    sts: StsSessions
    store: MemoryStore
    takes_any_key: bool

    def client(self, service: str, given: RoleCredentials, **more: Any) -> Any:
        keys = {"key": given.access_key_id, "secret": given.secret_access_key, "token": given.token, **more}
        return self.served.client(service, **keys)


@pytest.fixture(params=["any key", "signed"])
def world(request: pytest.FixtureRequest, serve: Callable[..., Served]) -> World:
    """An endpoint that takes any key, and one that checks signatures."""
    store, clock = MemoryStore(), FakeClock(datetime.now(UTC))
    sts = StsSessions(store, clock, SessionKeys(bytes(32)))
    signed = request.param == "signed"

    def secret_of(key: str) -> Secret | None:
        return Secret("own") if signed and key == OWN else secret_of_session(sts, key)

    verifier = SignatureVerifier(secret_of, lambda: datetime.now(UTC), accepts_unknown=not signed)
    services = [
        sts_service(sts),
        iam_service(store, AesVault(bytes(32)), clock, RandomIds()),
        ecs_service(store, clock, RandomIds()),
        ec2_service(store, clock, RandomIds()),
    ]
    return World(serve(services, auth=verifier), sts, store, not signed)


class OnlyTheWorker:
    """Lets one role do what it wants, and everybody else look."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def authorize(self, context: RequestContext, params: Params) -> None:
        self.asked.append((context.operation, params.get("clusterName", "")))
        if context.identity_arn != ROLE and not context.operation.startswith(("List", "Describe")):
            raise ServiceError("AccessDeniedException", f"User: {context.principal_arn} may not", 400)


def error_of(call: Any, **params: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_a_session_is_recognised(world: World) -> None:
    """A call with a task's credentials is the role's, in the role's account, in every protocol."""
    given = world.sts.task_credentials(TASK, ROLE)
    identity = world.client("sts", given).get_caller_identity()
    assert (identity["Arn"], identity["Account"]) == (SESSION_ARN, "222222222222")
    assert identity["UserId"].endswith(f":{TASK[-32:]}")
    made = world.client("ecs", given).create_cluster(clusterName="c")["cluster"]
    assert made["clusterArn"] == "arn:aws:ecs:us-east-1:222222222222:cluster/c"
    world.client("ec2", given).describe_vpcs()


def test_the_aws_command_is_recognised(world: World) -> None:
    """The command signs with a session's keys from its environment."""
    given = world.sts.task_credentials(TASK, ROLE)
    environment = {
        "AWS_ACCESS_KEY_ID": given.access_key_id,
        "AWS_SECRET_ACCESS_KEY": given.secret_access_key,
        "AWS_SESSION_TOKEN": given.token,
    }
    assert world.served.aws("sts", "get-caller-identity", **environment)["Arn"] == SESSION_ARN
    environment["AWS_SESSION_TOKEN"] = given.token[::-1]
    refused = world.served.run_aws("sts", "get-caller-identity", **environment)
    assert "(InvalidClientTokenId) when calling the GetCallerIdentity operation: The security token" in refused.stderr


@pytest.mark.parametrize(
    ("change", "errors"),
    [
        (
            {"secret": "other"},
            {
                "sts": ("SignatureDoesNotMatch", 403),
                "ecs": ("InvalidSignatureException", 400),
                "ec2": ("AuthFailure", 401),
            },
        ),
        (
            {"token": "other"},
            {
                "sts": ("InvalidClientTokenId", 403),
                "ecs": ("UnrecognizedClientException", 400),
                "ec2": ("AuthFailure", 401),
            },
        ),
        (
            {"token": ""},
            {
                "sts": ("InvalidClientTokenId", 403),
                "ecs": ("UnrecognizedClientException", 400),
                "ec2": ("AuthFailure", 401),
            },
        ),
    ],
)
def test_a_sessions_key_must_sign_rightly(
    world: World, change: dict[str, str], errors: dict[str, tuple[str, int]]
) -> None:
    """A wrong secret and a wrong or missing token are refused in each service's words, also where any key is taken."""
    given = world.sts.task_credentials(TASK, ROLE)
    assert error_of(world.client("sts", given, **change).get_caller_identity) == errors["sts"]
    assert error_of(world.client("ecs", given, **change).list_clusters) == errors["ecs"]
    assert error_of(world.client("ec2", given, **change).describe_vpcs) == errors["ec2"]


@pytest.mark.parametrize("removed", [False, True])
def test_an_expired_session_is_told(world: World, removed: bool) -> None:
    """Each service has its own words for it; they are the same once the session has been removed."""
    session = world.sts.begin(ROLE, "short", timedelta(0))
    given = world.sts.credentials(session)
    if removed:
        world.store.transact(Delete(SESSION, session.access_key_id))
    assert error_of(world.client("sts", given).get_caller_identity) == ("ExpiredToken", 403)
    assert error_of(world.client("ecs", given).list_clusters) == ("ExpiredTokenException", 400)
    assert error_of(world.client("ec2", given).describe_vpcs) == ("RequestExpired", 400)


def test_a_session_ends_with_its_role(world: World) -> None:
    """The keys of a role that was deleted are refused, and never taken for somebody else's."""
    own = world.served.client("iam", key=OWN, secret="own")
    arn = own.create_role(
        RoleName="gone",
        AssumeRolePolicyDocument='{"Statement":[{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}]}',
    )["Role"]["Arn"]
    given = world.sts.task_credentials(TASK, arn)
    assert world.client("sts", given).get_caller_identity()["Arn"].split("/")[1] == "gone"
    own.delete_role(RoleName="gone")
    assert error_of(world.client("sts", given).get_caller_identity) == ("InvalidClientTokenId", 403)


def test_the_authorizer_decides_before_the_handler(serve: Callable[..., Served]) -> None:
    """It is asked with who asks and for what, once the parameters are parsed, and what it refuses is not done."""
    store, clock, authorizer = MemoryStore(), FakeClock(datetime.now(UTC)), OnlyTheWorker()
    sts = StsSessions(store, clock, SessionKeys(bytes(32)))
    verifier = SignatureVerifier(lambda key: secret_of_session(sts, key), clock.now, accepts_unknown=True)
    world = World(
        serve([ecs_service(store, clock, RandomIds())], auth=verifier, authorizer=authorizer), sts, store, True
    )
    root = world.served.client("ecs", key="222222222222")
    worker = world.client("ecs", sts.task_credentials(TASK, ROLE))
    assert error_of(root.create_cluster, clusterName="c")[0] == "AccessDeniedException"
    assert error_of(root.create_cluster, clusterName=["c"])[0] == "SerializationException"
    assert root.list_clusters()["clusterArns"] == []
    worker.create_cluster(clusterName="c")
    assert len(root.list_clusters()["clusterArns"]) == 1
    made = ("CreateCluster", "c")
    assert authorizer.asked == [made, ("ListClusters", ""), made, ("ListClusters", "")]


def test_other_keys_are_what_they_were(world: World) -> None:
    """A key of nobody's is the default account's where any key is taken; where signatures are checked it is refused."""
    own = world.served.client("sts", key=OWN, secret="own").get_caller_identity()
    assert own["Arn"] == "arn:aws:iam::000000000000:root"
    foreign = world.served.client("sts", key="ASIAFOREIGNKEYFOREIG", token="any")
    if world.takes_any_key:
        assert foreign.get_caller_identity()["Account"] == "000000000000"
    else:
        assert error_of(foreign.get_caller_identity) == ("InvalidClientTokenId", 403)
