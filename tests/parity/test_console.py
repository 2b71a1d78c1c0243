"""The console's place at the endpoint: browsers see it, API clients see nothing of it, forged requests are refused."""

import gzip
import http.client
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from served import ACCOUNT, REGION, Served

from portside.api.console.changes import Changes
from portside.api.console.place import places
from portside.api.console.role_use import role_use
from portside.api.console.sign_in import MOST, REFUSED, SignIns
from portside.api.console.site import Site
from portside.api.console.visit import HEADER, Visits
from portside.api.ec2.service import ec2_service
from portside.api.ecs.service import ecs_service
from portside.api.elbv2.service import elbv2_service
from portside.api.iam.service import iam_service
from portside.aws.service import Principal
from portside.aws.signature import Secret
from portside.control.clock import RandomIds, SystemClock
from portside.domain.record import Scope
from portside.store.memory import MemoryStore
from portside.vault.aes import AesVault

BELOW = "/_portside/console"
BROWSER = {"accept": "text/html,application/xhtml+xml", "sec-fetch-site": "none"}
PAGE = b"<!doctype html><title>Portside</title>"


class Console:
    """A gateway with a console in it, and a browser's requests."""

    def __init__(self, serve: Callable[..., Served], folder: Path, *, with_auth: bool = False) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.keys = {"AKIAOWN": Secret("its own secret")} if with_auth else {}
        sign_ins = SignIns(self.keys.get, lambda: self.now, account=ACCOUNT, instance="0123abcd")
        store, clock, ids = MemoryStore(), SystemClock(), RandomIds()
        about = {"account": ACCOUNT, "region": REGION, "version": "1", "instance": "0123abcd"}
        site = Site(
            folder,
            Changes(store),
            Visits(bytes(32), "0123abcd"),
            about,
            sign_ins=sign_ins if with_auth else None,
            places=lambda: places(store),
            role_use=lambda account, region, arn: role_use(store, Scope(account=account, region=region), arn),
        )
        services = [
            ecs_service(store, clock, ids),
            ec2_service(store, clock, ids),
            elbv2_service(store, clock, ids),
            iam_service(store, AesVault(bytes(32)), clock, ids),
        ]
        self.served = serve(services, site=site)
        self.origin = self.served.url
        self.cookie = self.set_cookie = ""

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.served.port, timeout=30)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body or None, sent)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def visit(self) -> tuple[int, dict[str, str], bytes]:
        answer = self.ask("GET", "/", **BROWSER)
        self.cookie = answer[1].get("set-cookie", "").partition(";")[0]
        return answer

    def read(self, below: str) -> tuple[int, Any]:
        status, _, answer = self.ask("GET", f"{BELOW}/{below}", cookie=self.cookie)
        return status, json.loads(answer)

    def sign_in(self, key: str, secret: str, token: str = "") -> int:
        """With the cookie of a sign-in that is granted, as a browser keeps it."""
        given = {"accessKeyId": key, "secretAccessKey": secret, "sessionToken": token}
        status, _ = self.post("sign-in", given)
        if status == 200:
            self.cookie += f"; {self.set_cookie.partition(';')[0]}"
        return status

    def call(self, service: str, operation: str, parameters: Any = None, **changed: str) -> tuple[int, Any]:
        return self.post(f"call/{service}/{operation}?region={REGION}", parameters, **changed)

    def post(self, below: str, parameters: Any = None, **changed: str) -> tuple[int, Any]:
        headers = {
            "origin": self.origin,
            "cookie": self.cookie,
            "content-type": "application/json",
            HEADER: "1",
            **{name.replace("_", "-"): value for name, value in changed.items()},
        }
        body = json.dumps(parameters or {}).encode()
        status, got, answer = self.ask("POST", f"{BELOW}/{below}", body, **{n: v for n, v in headers.items() if v})
        if "set-cookie" in got:
            self.set_cookie = got["set-cookie"]
        return status, json.loads(answer) if answer else None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_bytes(PAGE)
    (tmp_path / "assets" / "index-1.js").write_bytes(b"one")
    (tmp_path / "assets" / "index-1.js.gz").write_bytes(gzip.compress(b"one"))
    (tmp_path / "secret.txt").write_bytes(b"not to be seen")
    return tmp_path


@pytest.fixture
def console(serve: Callable[..., Served], folder: Path) -> Console:
    made = Console(serve, folder)
    made.visit()
    return made


def test_a_browser_sees_the_page_and_a_client_the_endpoint(console: Console) -> None:
    """At the same address: HTML for who takes HTML, text for curl, AWS's API for who signs."""
    status, headers, body = console.visit()
    assert (status, body) == (200, PAGE)
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert "HttpOnly" in headers["set-cookie"]
    status, headers, body = console.ask("GET", "/", accept="*/*")
    assert headers["content-type"].startswith("text/plain")
    assert b"AWS_ENDPOINT_URL" in body
    assert console.served.client("ecs").list_clusters()["clusterArns"] == []


def test_files_are_kept_for_ever_and_packed(console: Console) -> None:
    """A file's name tells what is in it, so browsers need not ask again; gzip goes to those that take it."""
    status, headers, body = console.ask("GET", f"{BELOW}/assets/index-1.js", accept_encoding="gzip, br")
    assert status == 200
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert headers["content-encoding"] == "gzip"
    assert gzip.decompress(body) == b"one"
    status, headers, body = console.ask("GET", f"{BELOW}/assets/index-1.js")
    assert (status, body) == (200, b"one")
    assert "content-encoding" not in headers


@pytest.mark.parametrize("name", ["../secret.txt", "..%2fsecret.txt", ".", "none.js", "index-1.js.gz", ""])
def test_no_other_file_is_given(console: Console, name: str) -> None:
    """Only what the build made, in the one folder."""
    status, _, body = console.ask("GET", f"{BELOW}/assets/{name}")
    assert status == 404
    assert b"not to be seen" not in body


def test_calls_of_every_protocol_are_json(console: Console) -> None:
    """ECS speaks JSON, ELB and IAM XML, EC2 another XML: the page speaks JSON with all of them."""
    status, made = console.call("ecs", "CreateCluster", {"clusterName": "web"})
    assert (status, made["cluster"]["clusterName"]) == (200, "web")
    assert console.served.client("ecs").list_clusters()["clusterArns"] == [made["cluster"]["clusterArn"]]
    status, found = console.call("ec2", "DescribeSecurityGroups")
    assert (status, found["SecurityGroups"][0]["GroupName"]) == (200, "default")
    assert console.call("elbv2", "DescribeLoadBalancers") == (200, {"LoadBalancers": []})
    assert console.call("iam", "ListRoles")[0] == 200


def test_errors_are_awss(console: Console) -> None:
    """The code and words of the API, for what is not there, what is no parameter, and what is not implemented."""
    status, error = console.call("ecs", "DescribeTasks", {"cluster": "nowhere", "tasks": ["0"]})
    assert (status, error["__type"]) == (400, "ClusterNotFoundException")
    assert console.call("ecs", "DescribeTasks", {"tasks": 1})[1]["__type"] == "SerializationException"
    assert console.call("ecs", "Nothing")[1]["__type"] == "UnknownOperationException"
    assert console.call("s3", "ListBuckets")[0] == 501
    assert console.ask("GET", f"{BELOW}/about?region=..%2f", cookie=console.cookie)[0] == 400


@pytest.mark.parametrize(
    "forged",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": ""},
        {"cookie": ""},
        {HEADER: ""},
        {"content-type": "text/plain"},
        {"sec-fetch-site": "same-site"},
        {"host": "evil.example", "origin": "http://evil.example"},
    ],
)
def test_a_forged_request_does_nothing(console: Console, forged: dict[str, str]) -> None:
    """What lacks a proof, or comes by a name that somebody pointed here, is refused, and no cluster is made."""
    assert console.call("ecs", "CreateCluster", {"clusterName": "forged"}, **forged)[0] == 403
    assert console.call("ecs", "ListClusters") == (200, {"clusterArns": []})


@pytest.fixture
def guarded(serve: Callable[..., Served], folder: Path) -> Console:
    """Where signatures are checked; visited, and nobody has signed in."""
    made = Console(serve, folder, with_auth=True)
    made.visit()
    return made


def test_with_signatures_one_has_to_sign_in(guarded: Console) -> None:
    """The page is shown, and nothing else: no call, no change, no endpoint of Portside's, not even the account."""
    assert guarded.call("ecs", "ListClusters")[0] == 401
    assert guarded.read("changes")[0] == 401
    assert guarded.read("own/health")[0] == 401
    status, about = guarded.read("about")
    assert (status, about) == (200, {"version": "1", "wants": "sign-in"})
    assert guarded.sign_in("AKIAOWN", "its own secret") == 200
    assert guarded.call("ecs", "ListClusters") == (200, {"clusterArns": []})
    about = guarded.read("about")[1]
    assert (about["account"], about["identity"]) == (ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root")
    assert guarded.read("own/health")[0] != 401


def test_the_cookie_of_a_sign_in_is_for_nobody_else(guarded: Console) -> None:
    """No script reads it, no other site sends it, it ends, and the secret is not in it."""
    guarded.sign_in("AKIAOWN", "its own secret")
    for part in ("HttpOnly", "SameSite=Strict", "Max-Age=43200", "Path=/_portside/console/"):
        assert part in guarded.set_cookie
    assert "secret" not in guarded.set_cookie


@pytest.mark.parametrize(
    ("key", "secret", "token"),
    [
        ("AKIAOWN", "another", ""),
        ("AKIAOWN", "", ""),
        ("AKIAOWN", "its own secret", "a token"),
        ("AKIAOTHER", "its own secret", ""),
        (ACCOUNT, "anything", ""),
    ],
)
def test_a_wrong_key_does_not_sign_in(guarded: Console, key: str, secret: str, token: str) -> None:
    """Whatever part of it is wrong, the same is said."""
    status, said = guarded.post("sign-in", {"accessKeyId": key, "secretAccessKey": secret, "sessionToken": token})
    assert (status, said) == (403, {"message": REFUSED})
    assert guarded.call("ecs", "ListClusters")[0] == 401
    assert guarded.post("sign-in", [])[0] == 400


def test_a_page_of_another_site_can_not_sign_in(guarded: Console) -> None:
    """Signing somebody in as somebody else is a forgery, too."""
    given = {"accessKeyId": "AKIAOWN", "secretAccessKey": "its own secret"}
    assert guarded.post("sign-in", given, origin="https://evil.example")[0] == 403
    assert guarded.post("sign-in", given, cookie="")[0] == 403


def test_a_sign_in_ends(guarded: Console) -> None:
    """By signing out, which the cookie does not outlive, and after twelve hours."""
    guarded.sign_in("AKIAOWN", "its own secret")
    assert guarded.post("sign-out")[0] == 200
    assert guarded.call("ecs", "ListClusters")[0] == 401
    guarded.visit()
    guarded.sign_in("AKIAOWN", "its own secret")
    guarded.now += timedelta(hours=11, minutes=59)
    assert guarded.call("ecs", "ListClusters")[0] == 200
    guarded.now += timedelta(minutes=1)
    assert guarded.call("ecs", "ListClusters")[0] == 401


def test_a_session_signs_in_as_what_it_is(guarded: Console) -> None:
    """A session's key acts as its session, ends with it, and does not reach what takes the instance's own key."""
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/me"
    guarded.keys["ASIA1"] = Secret("s", "t", guarded.now + timedelta(hours=1), Principal(ACCOUNT, arn, "ID:me"))
    assert guarded.sign_in("ASIA1", "s") == 403
    assert guarded.sign_in("ASIA1", "s", "t") == 200
    assert guarded.read("about")[1]["identity"] == arn
    assert guarded.call("ecs", "ListClusters")[0] == 200
    assert guarded.read("own/health")[0] == 403
    guarded.now += timedelta(hours=1)
    assert guarded.call("ecs", "ListClusters")[0] == 401
    guarded.now -= timedelta(hours=1)
    guarded.visit()
    assert guarded.sign_in("ASIA1", "s", "t") == 200
    del guarded.keys["ASIA1"]
    assert guarded.call("ecs", "ListClusters")[0] == 401


def test_another_account_where_any_key_will_do(console: Console) -> None:
    """Calls go to the account that is asked for, which is offered once something is there; a sign-in has but one."""
    other = "111111111111"
    assert console.post(f"call/ecs/CreateCluster?region=eu-west-1&account={other}", {"clusterName": "x"})[0] == 200
    assert console.call("ecs", "ListClusters") == (200, {"clusterArns": []})
    assert console.read("about")[1]["places"] == {other: ["eu-west-1"]}
    assert console.post("call/ecs/ListClusters?account=..", {})[0] == 400


def test_no_other_account_than_that_of_the_key(guarded: Console) -> None:
    """Who has signed in to one account does not act in another."""
    guarded.sign_in("AKIAOWN", "its own secret")
    assert guarded.post("call/ecs/ListClusters?account=111111111111")[0] == 403
    assert guarded.post(f"call/ecs/ListClusters?account={ACCOUNT}")[0] == 200


def test_shapes_are_the_models(console: Console) -> None:
    """What an operation takes, for forms: all below its input, what is required, which words there are."""
    status, found = console.read("shapes/ecs/RegisterTaskDefinition")
    assert status == 200
    shapes = found["shapes"]
    assert shapes[found["input"]]["required"] == ["family", "containerDefinitions"]
    assert "FARGATE" in shapes[shapes[shapes[found["input"]]["members"]["requiresCompatibilities"]]["member"]]["enum"]
    assert set(shapes) > {shape for each in shapes.values() for shape in each.get("members", {}).values()}
    assert "proxyConfiguration" in found["refused"]
    assert found["fargate"]["256"] == [512, 1024, 2048]
    assert console.read("shapes/ecs/Nothing") == (200, {})
    assert console.read("shapes/..%2fecs/RunTask")[0] == 404


def test_so_many_sign_ins_are_kept(guarded: Console) -> None:
    """Memory is bounded: of more sign-ins than are kept, the one that would end first gives way."""
    bare = guarded.cookie
    guarded.sign_in("AKIAOWN", "its own secret")
    first, guarded.cookie = guarded.cookie, bare
    guarded.now += timedelta(minutes=1)
    for _ in range(MOST):
        assert guarded.sign_in("AKIAOWN", "its own secret") == 200
        last, guarded.cookie = guarded.cookie, bare
    assert guarded.call("ecs", "ListClusters", cookie=last)[0] == 200
    assert guarded.call("ecs", "ListClusters", cookie=first)[0] == 401


def test_who_uses_a_role(console: Console) -> None:
    """Active definitions and instance profiles, with what the role is to each; nobody, for a role that nobody names."""
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
    console.call("iam", "CreateRole", {"RoleName": "reader", "AssumeRolePolicyDocument": json.dumps(trust)})
    console.call("iam", "CreateInstanceProfile", {"InstanceProfileName": "machines"})
    console.call("iam", "AddRoleToInstanceProfile", {"InstanceProfileName": "machines", "RoleName": "reader"})
    arn = f"arn:aws:iam::{ACCOUNT}:role/reader"
    container = {"name": "main", "image": "i", "memory": 64}
    for family, roles in (
        ("both", {"taskRoleArn": arn, "executionRoleArn": arn}),
        ("none", {}),
        ("old", {"taskRoleArn": arn}),
    ):
        status, said = console.call(
            "ecs", "RegisterTaskDefinition", {"family": family, "containerDefinitions": [container], **roles}
        )
        assert status == 200, said
    console.call("ecs", "DeregisterTaskDefinition", {"taskDefinition": "old:1"})
    assert console.read(f"role-use?arn={arn}") == (
        200,
        {
            "definitions": [{"name": "both:1", "as": ["task role", "execution role"]}],
            "tasks": [],
            "services": [],
            "profiles": [{"name": "machines", "as": ["role"]}],
        },
    )
    assert not any(console.read(f"role-use?arn={arn}x")[1].values())


def test_what_is_not_built_says_how(serve: Callable[..., Served], tmp_path: Path) -> None:
    """Without the build the page tells what to run."""
    console = Console(serve, tmp_path / "nothing")
    assert b"./portside install" in console.visit()[2]
