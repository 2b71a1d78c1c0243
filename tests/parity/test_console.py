"""The console's place at the endpoint: browsers see it, API clients see nothing of it, forged requests are refused."""

import gzip
import http.client
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from served import ACCOUNT, REGION, Served

from portside.api.console.changes import Changes
from portside.api.console.site import Site
from portside.api.console.visit import HEADER, Visits
from portside.api.ec2.service import ec2_service
from portside.api.ecs.service import ecs_service
from portside.api.elbv2.service import elbv2_service
from portside.api.iam.service import iam_service
from portside.control.clock import RandomIds, SystemClock
from portside.store.memory import MemoryStore

BELOW = "/_portside/console"
BROWSER = {"accept": "text/html,application/xhtml+xml", "sec-fetch-site": "none"}
PAGE = b"<!doctype html><title>Portside</title>"


class Console:
    """A gateway with a console in it, and a browser's requests."""

    def __init__(self, serve: Callable[..., Served], folder: Path, *, is_closed: bool = False) -> None:
        store, clock, ids = MemoryStore(), SystemClock(), RandomIds()
        about = {"account": ACCOUNT, "region": REGION, "version": "1", "instance": "0123abcd"}
        site = Site(folder, Changes(store), Visits(bytes(32), "0123abcd"), about, is_closed=is_closed)
        services = [
            ecs_service(store, clock, ids),
            ec2_service(store, clock, ids),
            elbv2_service(store, clock, ids),
            iam_service(store, clock, ids),
        ]
        self.served = serve(services, site=site)
        self.origin = self.served.url
        self.cookie = ""

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

    def call(self, service: str, operation: str, parameters: Any = None, **changed: str) -> tuple[int, Any]:
        headers = {
            "origin": self.origin,
            "cookie": self.cookie,
            "content-type": "application/json",
            HEADER: "1",
            **{name.replace("_", "-"): value for name, value in changed.items()},
        }
        body = json.dumps(parameters or {}).encode()
        path = f"{BELOW}/call/{service}/{operation}?region={REGION}"
        status, _, answer = self.ask("POST", path, body, **{n: v for n, v in headers.items() if v})
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


def test_with_signatures_it_is_closed(serve: Callable[..., Served], folder: Path) -> None:
    """Where signatures are checked there is no way in without one, and the page says why."""
    console = Console(serve, folder, is_closed=True)
    status, headers, body = console.visit()
    assert (status, "set-cookie" in headers) == (200, False)
    assert b"--auth" in body
    cookie = Visits(bytes(32), "0123abcd").given().partition(";")[0]
    assert console.call("ecs", "ListClusters", cookie=cookie)[0] == 403


def test_what_is_not_built_says_how(serve: Callable[..., Served], tmp_path: Path) -> None:
    """Without the build the page tells what to run."""
    console = Console(serve, tmp_path / "nothing")
    assert b"./portside install" in console.visit()[2]
