"""500 targets in 50 target groups behind 100 rules: Portside, and Envoy, HAProxy and nginx configured by hand.

All four stand in the load balancer's namespace, check and reach the same servers in one task of its VPC, and get the
same requests, which go to every rule alike; they take turns. HTTP and HTTPS (one ECDSA certificate) are wrk's, over 32
connections, with TLS 1.3 as the others have it (not of the policy that a listener has by default); HTTP/2 over TLS is
h2load's, 8 connections of 8 streams. Each is warmed before it is measured: that makes the connections to targets again
which were idle while the others had their turns (Portside closes them after four seconds). HAProxy, nginx and h2load
are Debian's haproxy, nginx and nghttp2-client; what is not installed is left out.
"""

import contextlib
import re
import shutil
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import envoy
from bench.balancer import balancer_netns, leg_address, wrk
from bench.measure import cpu_s, pss_kib, run
from portside.testing.instance import Instance
from portside.testing.instance import instance as portside_instance
from portside.testing.netns_lab import envoys
from portside.testing.wait import end, free_port, wait_for

WEB_IMAGE = "localhost/portside-demo-web:1"
GROUPS, TARGETS_EACH, RULES, SPARE = 50, 10, 98, 20
"""Of the 100 rules one leads to the spare targets, one comes and goes."""
FIRST_PORT = 10_000
WARM_S = 2
YARDSTICKS = ("envoy", "haproxy", "nginx")

SERVERS = """\
daemon off; pid /tmp/nginx.pid; user www-data; worker_processes 2; error_log /dev/stderr notice;
events { worker_connections 9000; }
http {
    access_log off; keepalive_timeout 600s; keepalive_requests 100000000;
    server { %s location / { return 200 "ok\\n"; } }
}
"""
REQUESTS = """\
local n = 0
request = function()
    n = (n + 37) % 98
    return wrk.format("GET", "/rule-" .. n .. "/")
end
"""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Args: pids: of the processes that carry requests. http, https: in the load balancer's namespace."""

    pids: list[int]
    http: str
    https: str


@dataclass(kw_only=True)
class Samples:
    per_s: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    cpu_s_per_100k: list[float] = field(default_factory=list)


def bench(quick: bool) -> dict[str, Any]:
    seconds, rounds, changes = (1, 1, 2) if quick else (4, 5, SPARE)
    with portside_instance() as instance, tempfile.TemporaryDirectory(prefix="portside-bench-") as name:
        lab = _Lab(instance, Path(name))
        result: dict[str, Any] = {"setup_s": lab.setup()}
        result["rule_to_answer_ms"] = statistics.median(lab.rule_ms(number) for number in range(changes))
        result["target_to_answer_ms"] = statistics.median(lab.target_ms(number) for number in range(changes))
        (pid,) = envoys(instance.settings.data_dir)
        engines = {
            "portside": Engine(
                pids=[pid], http=f"http://{lab.leg}:{lab.port}", https=f"https://{lab.leg}:{lab.tls_port}"
            )
        }
        with contextlib.ExitStack() as stack:
            for name in YARDSTICKS:
                if name == "envoy" or shutil.which(name):
                    engines[name] = stack.enter_context(_by_hand(lab, name))
            result["idle_mib"] = {name: _mib(engine) for name, engine in engines.items()}
            result |= _compare(lab, engines, seconds, rounds)
            result["loaded_mib"] = {name: _mib(engine) for name, engine in engines.items()}
    return result


def _compare(lab: "_Lab", engines: dict[str, Engine], seconds: int, rounds: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for protocol in ("http", "https", *(("http2",) if shutil.which("h2load") else ())):
        if protocol == "https":
            lab.secure()
        samples = {name: Samples() for name in engines}
        for _ in range(rounds):
            for name, engine in engines.items():
                load = lab.h2load if protocol == "http2" else lab.wrk
                address = engine.http if protocol == "http" else engine.https
                load(address, WARM_S)
                before = sum(map(cpu_s, engine.pids))
                count, per_s, p99_ms = load(address, seconds)
                spent = sum(map(cpu_s, engine.pids)) - before
                samples[name].per_s.append(per_s)
                samples[name].cpu_s_per_100k.append(spent / count * 100_000)
                if p99_ms is not None:
                    samples[name].p99_ms.append(p99_ms)
        found[protocol] = {
            name: {
                key: statistics.median(values)
                for key in ("per_s", "p99_ms", "cpu_s_per_100k")
                if (values := getattr(each, key))
            }
            for name, each in samples.items()
        }
        ours = samples["portside"]
        for name, theirs in samples.items():
            if name != "portside":
                found[protocol][f"portside_to_{name}"] = {
                    "per_s": statistics.median(a / b for a, b in zip(ours.per_s, theirs.per_s, strict=True)),
                    "cpu": statistics.median(
                        a / b for a, b in zip(ours.cpu_s_per_100k, theirs.cpu_s_per_100k, strict=True)
                    ),
                }
    return found


def _mib(engine: Engine) -> float:
    return sum(map(pss_kib, engine.pids)) / 1024


class _Lab:
    """An instance with its load balancer, whose 500 targets are the ports of one task."""

    def __init__(self, instance: Instance, folder: Path) -> None:
        self.folder = folder
        self.port, self.tls_port = free_port(), free_port()
        self._instance = instance
        self._elb = instance.client("elbv2")
        (folder / "requests.lua").write_text(REQUESTS)
        self.certificate, self.key = folder / "certificate.pem", folder / "key.pem"
        run(
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=bench.test", "-keyout", str(self.key), "-out", str(self.certificate)),
        )
        self.leg = ""
        self.target = ""
        self._netns = Path()
        self._host = ""
        self._balancer, self._listener = "", ""
        self._groups: list[str] = []
        self._spare_group = ""

    def setup(self) -> dict[str, float]:
        """Returns: how long the API took for all of it, and from there until every rule was answered by its targets."""
        groups = [self._instance.client("ec2").describe_security_groups()["SecurityGroups"][0]["GroupId"]]
        self.target = self._serve(groups)
        began = time.monotonic()
        self._balancer = self._elb.create_load_balancer(
            Name="bench", Subnets=self._instance.subnets()[:2], SecurityGroups=groups
        )["LoadBalancers"][0]["LoadBalancerArn"]
        self._groups = [self._group(f"group-{number}") for number in range(GROUPS)]
        for number, arn in enumerate(self._groups):
            first = FIRST_PORT + number * TARGETS_EACH
            targets = [{"Id": self.target, "Port": port} for port in range(first, first + TARGETS_EACH)]
            self._elb.register_targets(TargetGroupArn=arn, Targets=targets)
        self._listen(Protocol="HTTP", Port=self.port)
        asked = time.monotonic()
        status = self._instance.status()
        self._host = str(status["loadBalancers"][0]["hostAddresses"][0])
        for number in range(RULES):
            self._wait(f"/rule-{number}/", 200)
        answered = time.monotonic()
        self._netns = balancer_netns(self._instance)
        self.leg = leg_address(self._netns)
        self._spare_group = self._group("spare")
        self._elb.modify_target_group_attributes(
            TargetGroupArn=self._spare_group,
            Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "0"}],
        )
        self._rule(RULES + 1, "/spare/*", {"Type": "forward", "TargetGroupArn": self._spare_group})
        return {"api": asked - began, "answering": answered - asked}

    def secure(self) -> None:
        """The same rules behind HTTPS: another listener in place of this one, for a load balancer has 100 rules."""
        self._elb.delete_listener(ListenerArn=self._listener)
        certificate = self._instance.client("acm").import_certificate(
            Certificate=self.certificate.read_bytes(), PrivateKey=self.key.read_bytes()
        )["CertificateArn"]
        self._listen(
            Protocol="HTTPS",
            Port=self.tls_port,
            Certificates=[{"CertificateArn": certificate}],
            SslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06",
        )
        last = f"https://{self.leg}:{self.tls_port}/rule-{RULES - 1}/"
        wait_for(lambda: self.answers(last), timeout_s=60, what="the last rule behind HTTPS")

    def _listen(self, **more: Any) -> None:
        none = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}]
        made = self._elb.create_listener(LoadBalancerArn=self._balancer, DefaultActions=none, **more)
        self._listener = str(made["Listeners"][0]["ListenerArn"])
        for number in range(RULES):
            to = {"Type": "forward", "TargetGroupArn": self._groups[number % GROUPS]}
            self._rule(1 + number, f"/rule-{number}/*", to)

    def _serve(self, groups: list[str]) -> str:
        """A task whose nginx listens on a port for each target. Returns: its address."""
        from portside.cli.demo_image import ensure_web_image

        ensure_web_image()
        ports = range(FIRST_PORT, FIRST_PORT + GROUPS * TARGETS_EACH + SPARE)
        configuration = SERVERS % " ".join(f"listen {port};" for port in ports)
        script = 'printf "%s" "$CONFIGURATION" > /tmp/nginx.conf; exec /usr/sbin/nginx -c /tmp/nginx.conf'
        self._instance.client("ecs").create_cluster(clusterName="default")
        self._instance.register(
            "servers",
            {
                "image": WEB_IMAGE,
                "command": ["busybox", "sh", "-c", script],
                "environment": [{"name": "CONFIGURATION", "value": configuration}],
            },
            cpu="4096",
            memory="8192",
        )
        task = self._instance.wait_task(
            self._instance.run_task("servers", networkConfiguration=self._instance.network(*groups)), "RUNNING"
        )
        details = {each["name"]: each["value"] for each in task["attachments"][0]["details"]}
        return str(details["privateIPv4Address"])

    def _group(self, name: str) -> str:
        made = self._elb.create_target_group(
            Name=name,
            Protocol="HTTP",
            Port=80,
            VpcId=self._instance.vpc(),
            TargetType="ip",
            HealthCheckIntervalSeconds=30,
            HealthyThresholdCount=2,
        )
        return str(made["TargetGroups"][0]["TargetGroupArn"])

    def _rule(self, priority: int, pattern: str, action: dict[str, Any]) -> str:
        made = self._elb.create_rule(
            ListenerArn=self._listener,
            Priority=priority,
            Conditions=[{"Field": "path-pattern", "Values": [pattern]}],
            Actions=[action],
        )
        return str(made["Rules"][0]["RuleArn"])

    def rule_ms(self, number: int) -> float:
        """From CreateRule's call until the rule answers."""
        began = time.monotonic()
        rule = self._rule(
            RULES + 2 + number,
            f"/new-{number}",
            {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200", "MessageBody": "new"}},
        )
        self._wait(f"/new-{number}", 200)
        took = time.monotonic() - began
        self._elb.delete_rule(RuleArn=rule)
        return took * 1000

    def target_ms(self, number: int) -> float:
        """From RegisterTargets' call until the target, alone in its group, answers."""
        target = [{"Id": self.target, "Port": FIRST_PORT + GROUPS * TARGETS_EACH + number}]
        self._wait("/spare/", 503)
        began = time.monotonic()
        self._elb.register_targets(TargetGroupArn=self._spare_group, Targets=target)
        self._wait("/spare/", 200)
        took = time.monotonic() - began
        self._elb.deregister_targets(TargetGroupArn=self._spare_group, Targets=target)
        return took * 1000

    def _wait(self, path: str, status: int) -> None:
        def there() -> bool:
            try:
                with urllib.request.urlopen(f"http://{self._host}:{self.port}{path}", timeout=5) as answer:
                    return bool(answer.status == status)
            except urllib.error.HTTPError as error:
                return error.code == status
            except OSError:
                return False

        wait_for(there, timeout_s=60, pause_s=0.001, what=f"{status} of {path}")

    def inside(self, *command: str) -> list[str]:
        return ["nsenter", f"--net={self._netns}", *command]

    def wrk(self, address: str, seconds: int) -> tuple[int, float, float | None]:
        """(requests, per second, 99th percentile in ms). Raises: RuntimeError: a request failed."""
        return wrk(address, seconds, self._netns, "-s", str(self.folder / "requests.lua"))

    def h2load(self, address: str, seconds: int) -> tuple[int, float, float | None]:
        """The same, without a percentile."""
        urls = self.folder / "urls"
        urls.write_text("".join(f"{address}/rule-{number * 37 % RULES}/\n" for number in range(RULES)))
        told = run(*self.inside("h2load", "-t1", "-c8", "-m8", f"-D{seconds}", "-i", str(urls)), timeout_s=seconds + 30)
        done = re.search(r"finished in [\d.]+m?s, ([\d.]+) req/s", told)
        status = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", told)
        failed = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", told)
        if not (done and status and failed) or any(map(int, (*status.groups()[1:], *failed.groups()))):
            raise RuntimeError(f"{address}: {told}")
        return int(status[1]), float(done[1]), None

    def answers(self, address: str) -> bool:
        """Whether it does, asked in the namespace."""
        asked = subprocess.run(
            self.inside("curl", "-skf", "-m2", "-o", str(self.folder / "answer"), address), timeout=10, check=False
        )
        return asked.returncode == 0

    def places(self, group: int) -> list[tuple[str, int]]:
        first = FIRST_PORT + group * TARGETS_EACH
        return [(self.target, port) for port in range(first, first + TARGETS_EACH)]

    def targets(self, group: int) -> list[str]:
        return [f"{address}:{port}" for address, port in self.places(group)]


@contextlib.contextmanager
def _by_hand(lab: _Lab, name: str) -> Iterator[Engine]:
    """The same groups, checks and rules, in the words of the engine; two threads or processes of it."""
    folder = lab.folder / name
    folder.mkdir()
    port, tls_port = 20_000 + 10 * YARDSTICKS.index(name), 20_001 + 10 * YARDSTICKS.index(name)
    configuration, command = {"envoy": _envoy, "haproxy": _haproxy, "nginx": _nginx}[name](lab, folder, port, tls_port)
    (folder / "configuration").write_text(configuration)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(lab.inside(*command), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        http = f"http://{lab.leg}:{port}"
        wait_for(
            lambda: lab.answers(f"{http}/rule-{RULES - 1}/"), timeout_s=20, what=f"{name}, whose log is {log.name}"
        )
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield Engine(pids=[process.pid, *map(int, children)], http=http, https=f"https://{lab.leg}:{tls_port}")
    finally:
        end(process)


def _nginx(lab: _Lab, folder: Path, port: int, tls_port: int) -> tuple[str, list[str]]:
    groups = "\n".join(
        f"upstream group-{number} {{ {' '.join(f'server {each};' for each in lab.targets(number))} keepalive 64; }}"
        for number in range(GROUPS)
    )
    rules = "\n".join(
        f"location ^~ /rule-{number}/ {{ proxy_pass http://group-{number % GROUPS}; }}" for number in range(RULES)
    )
    configuration = f"""
daemon off; pid {folder}/pid; worker_processes 2; error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 100000000;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    {groups}
    server {{
        listen {lab.leg}:{port}; listen {lab.leg}:{tls_port} ssl http2;
        ssl_certificate {lab.certificate}; ssl_certificate_key {lab.key};
        {rules}
        location / {{ return 404; }}
    }}
}}
"""
    return configuration, ["nginx", "-c", str(folder / "configuration"), "-p", str(folder)]


def _haproxy(lab: _Lab, folder: Path, port: int, tls_port: int) -> tuple[str, list[str]]:
    both = folder / "both.pem"
    both.write_text(lab.certificate.read_text() + lab.key.read_text())
    rules = "\n".join(
        f"    use_backend group-{number % GROUPS} if {{ path_beg /rule-{number}/ }}" for number in range(RULES)
    )
    groups = "\n".join(
        f"backend group-{number}\n    option httpchk GET /\n    default-server check inter 30s\n"
        + "\n".join(f"    server s{index} {each}" for index, each in enumerate(lab.targets(number)))
        for number in range(GROUPS)
    )
    configuration = f"""
global
    nbthread 2
    maxconn 4096
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    option forwardfor
frontend web
    bind {lab.leg}:{port}
    bind {lab.leg}:{tls_port} ssl crt {both} alpn h2,http/1.1
{rules}
    default_backend none
backend none
    http-request return status 404
{groups}
"""
    return configuration, ["haproxy", "-db", "-f", str(folder / "configuration")]


def _envoy(lab: _Lab, folder: Path, port: int, tls_port: int) -> tuple[str, list[str]]:
    tls = {
        "name": "tls",
        "typed_config": {
            "@type": f"{envoy.TYPE}extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_certificates": [
                    {
                        "certificate_chain": {"filename": str(lab.certificate)},
                        "private_key": {"filename": str(lab.key)},
                    }
                ],
            },
        },
    }
    routes: list[dict[str, Any]] = [
        {"match": {"prefix": f"/rule-{number}/"}, "route": {"cluster": f"group-{number % GROUPS}"}}
        for number in range(RULES)
    ]
    routes.append({"match": {"prefix": "/"}, "direct_response": {"status": 404}})
    check = {
        "timeout": "5s",
        "interval": "30s",
        "no_traffic_interval": "30s",
        "unhealthy_threshold": 2,
        "healthy_threshold": 2,
        "http_health_check": {"path": "/"},
    }
    configuration = envoy.document(
        [
            envoy.listener(lab.leg, port, routes, use_remote_address=True),
            envoy.listener(lab.leg, tls_port, routes, chain={"transport_socket": tls}, use_remote_address=True),
        ],
        [envoy.cluster(f"group-{number}", lab.places(number), health_checks=[check]) for number in range(GROUPS)],
    )
    return configuration, envoy.command(folder / "configuration")
