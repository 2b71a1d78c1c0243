"""`portside demo`: a small application, two services behind a load balancer, made with the real `aws` command.

It looks first and makes only what is missing, so that it may be run again, also after it was interrupted anywhere.
"""

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from portside.cli import demo_image as image
from portside.cli import instance as daemon
from portside.cli.demo.aws import Aws, Done, typed
from portside.cli.environment import variables
from portside.cli.failure import Failure
from portside.cli.launcher import CLONE, command_name
from portside.settings import Settings

CLUSTER = "demo"
BALANCER = "demo"
BALANCER_GROUP = "demo-lb"
TASK_GROUP = "demo-tasks"
FIRST_PORT, LAST_PORT = 8080, 8099
STABLE_TIMEOUT_S = 180
REMOVE_TIMEOUT_S = 120
ANSWER_TIMEOUT_S = 60
POLL_S = 0.25
REQUESTS = 40
"""At most, until two tasks have answered; requests are spread by chance."""
ANSWER_CHARACTERS = 140
ROLE = "demo-execution"
ROLE_POLICY = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}


@dataclass(frozen=True)
class Part:
    """One of the two services."""

    name: str
    recipe: image.Recipe
    port: int

    @property
    def family(self) -> str:
        return f"demo-{self.name}"

    @property
    def log_group(self) -> str:
        return f"/demo/{self.name}"


WEB = Part("web", image.WEB, 80)
API = Part("api", image.API, 8000)
PARTS = (WEB, API)


def perform(settings: Settings, demo_port: int | None) -> None:
    """Make the demonstration, or what is missing of it, and show that it answers.

    Raises: Failure with what went wrong; running it again goes on from there.
    """
    Stage(settings, Console(highlight=False, soft_wrap=True)).perform(demo_port)


def remove(settings: Settings) -> None:
    """Remove what `perform` made; Portside and the images stay."""
    Stage(settings, Console(highlight=False, soft_wrap=True)).remove()


class Stage:
    def __init__(self, settings: Settings, console: Console) -> None:
        self._settings, self._console = settings, console
        self._aws: Aws = Aws(variables(settings))

    def perform(self, demo_port: int | None) -> None:
        began = time.monotonic()
        with ThreadPoolExecutor(max_workers=1) as pool:
            starting = pool.submit(self._ensure_daemon)
            self._ensure_images()
            starting.result()
        self._aws = Aws(variables(self._settings))
        try:
            url = self._finished_url()
            if url is None:
                url = self._build(demo_port)
            else:
                self._say("The demonstration is there already; nothing is made again.")
            self._await_stable()
            self._check(url)
        except (ClientError, BotoCoreError) as error:
            raise Failure(f"Portside refused a look at what is there: {error}", "See: portside logs") from error
        self._close(url, time.monotonic() - began)

    # What is shown.

    def _title(self, text: str) -> None:
        self._console.print(f"\n[bold cyan]{text}[/]")

    def _say(self, text: str) -> None:
        self._console.print(Text(f"  {text}", style="green"))

    def _run(self, *arguments: str) -> str:
        return self._together([arguments])[0]

    def _together(self, commands: Sequence[Sequence[str]]) -> list[str]:
        """Run commands that do not depend on each other, and show them. Returns what each printed."""
        if not commands:
            return []
        with self._console.status(f"aws {' '.join(commands[0][:2])} …"):
            done = self._aws.run_together(commands)
        for each in done:
            self._show(each)
        return [each.output for each in done]

    def _show(self, done: Done) -> None:
        first, *rest = typed(done.arguments)
        self._console.print(Text.assemble(("  $ ", "dim"), first))
        for line in rest:
            self._console.print(Text(f"  {line}"))
        answer = done.output if len(done.output) < ANSWER_CHARACTERS and "\n" not in done.output else ""
        self._console.print(Text(f"    ✓ {answer}{' ' if answer else ''}({done.took_s:.1f} s)", style="green"))

    # What stands before the first command.

    def _ensure_daemon(self) -> None:
        if daemon.find(self._settings) is None:
            daemon.start(self._settings)

    def _ensure_images(self) -> None:
        with ThreadPoolExecutor(max_workers=len(image.RECIPES)) as pool:
            current = list(pool.map(image.is_current, image.RECIPES))
        missing = [recipe for recipe, there in zip(image.RECIPES, current, strict=True) if not there]
        if not missing:
            return
        self._title("Images, made here from this distribution's packages")
        for recipe in missing:
            began = time.monotonic()
            with self._console.status(f"making {recipe.name} from {', '.join(recipe.packages)} …"):
                image.make(recipe, self._settings.data_dir / "demo" / "packages")
            self._say(f"✓ {recipe.name} from {', '.join(recipe.packages)} ({time.monotonic() - began:.1f} s)")

    def _free_port(self, wanted: int | None) -> int:
        """A port of 127.0.0.1 that nothing listens on. Raises: Failure."""
        for port in [wanted] if wanted else range(FIRST_PORT, LAST_PORT + 1):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
                return port
        taken = f"port {wanted} is" if wanted else f"the ports {FIRST_PORT} to {LAST_PORT} are"
        raise Failure(f"{taken} in use on 127.0.0.1", "Name a free one: portside demo --demo-port PORT")

    # Looking at what is there.

    def _balancer(self) -> dict[str, Any] | None:
        found = _or_none(lambda: self._aws.client("elbv2").describe_load_balancers(Names=[BALANCER]))
        return dict(found["LoadBalancers"][0]) if found and found["LoadBalancers"] else None

    def _listener(self, balancer: dict[str, Any]) -> dict[str, Any] | None:
        found = self._aws.client("elbv2").describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
        return dict(found[0]) if found else None

    def _rules(self, listener_arn: str) -> list[Any]:
        rules = self._aws.client("elbv2").describe_rules(ListenerArn=listener_arn)["Rules"]
        return [rule for rule in rules if not rule.get("IsDefault")]

    def _target_group(self, part: Part) -> str | None:
        found = _or_none(lambda: self._aws.client("elbv2").describe_target_groups(Names=[part.family]))
        return str(found["TargetGroups"][0]["TargetGroupArn"]) if found and found["TargetGroups"] else None

    def _services(self) -> dict[str, dict[str, Any]]:
        """The services that are not gone, by name."""
        ecs = self._aws.client("ecs")
        found = _or_none(lambda: ecs.describe_services(cluster=CLUSTER, services=[part.name for part in PARTS]))
        return {s["serviceName"]: s for s in (found or {}).get("services", []) if s["status"] == "ACTIVE"}

    def _other_services(self) -> list[str]:
        if not self._cluster_is_there():
            return []
        pages = self._aws.client("ecs").get_paginator("list_services").paginate(cluster=CLUSTER)
        names = {arn.rsplit("/", 1)[-1] for page in pages for arn in page["serviceArns"]}
        return sorted(names - {part.name for part in PARTS})

    def _security_groups(self) -> dict[str, dict[str, Any]]:
        names = [BALANCER_GROUP, TASK_GROUP]
        filters = [{"Name": "group-name", "Values": names}]
        found = self._aws.client("ec2").describe_security_groups(Filters=filters)["SecurityGroups"]
        return {group["GroupName"]: group for group in found}

    def _revisions(self, part: Part) -> list[str]:
        listed = self._aws.client("ecs").list_task_definitions(familyPrefix=part.family, status="ACTIVE")
        return [arn for arn in listed["taskDefinitionArns"] if arn.rsplit("/", 1)[-1].rsplit(":", 1)[0] == part.family]

    def _finished_url(self) -> str | None:
        """Where the demonstration answers, if every part of it is there."""
        if len(self._services()) < len(PARTS):
            return None
        balancer = self._balancer()
        listener = self._listener(balancer) if balancer else None
        if not balancer or not listener or not self._rules(listener["ListenerArn"]):
            return None
        return _url(balancer["DNSName"], listener["Port"])

    # Making it.

    def _build(self, demo_port: int | None) -> str:
        balancer = self._balancer()
        listener = self._listener(balancer) if balancer else None
        port = int(listener["Port"]) if listener else self._free_port(demo_port)

        self._title("A cluster, and log groups for what the containers print")
        groups = self._log_groups()
        wanted = [("ecs", "create-cluster", "--cluster-name", CLUSTER, "--query", "cluster.clusterArn")]
        made: list[Sequence[str]] = [(*wanted[0], "--output", "text")]
        made += [
            ("logs", "create-log-group", "--log-group-name", p.log_group) for p in PARTS if p.log_group not in groups
        ]
        self._together(made)

        self._title("The network: the default VPC, two of its zones, who may reach whom")
        vpc, subnets = self._network()
        balancer_group, task_group = self._make_security_groups(vpc, port)

        self._title("A load balancer, with a target group for each service")
        balancer_arn = self._make_balancer(balancer, subnets, balancer_group)
        targets = {part.name: arn for part, arn in zip(PARTS, self._make_target_groups(vpc), strict=True)}
        self._make_listener(balancer_arn, listener, port, targets)

        self._title("Two task definitions, with a role that may write logs, and a service of two tasks for each")
        self._register(self._make_role())
        self._make_services(subnets, task_group, targets)
        balancer = self._balancer()
        if balancer is None:
            raise Failure("the load balancer has gone", "Did something delete it meanwhile? Run this again.")
        return _url(balancer["DNSName"], port)

    def _log_groups(self) -> set[str]:
        found = self._aws.client("logs").describe_log_groups(logGroupNamePrefix="/demo/")["logGroups"]
        return {group["logGroupName"] for group in found}

    def _network(self) -> tuple[str, list[str]]:
        """The default VPC, and a subnet in each of two zones."""
        vpc = self._run(
            *("ec2", "describe-vpcs", "--filters", "Name=is-default,Values=true"),
            *("--query", "Vpcs[0].VpcId", "--output", "text"),
        )
        subnets = self._run(
            *("ec2", "describe-subnets", "--filters", f"Name=vpc-id,Values={vpc}", "Name=default-for-az,Values=true"),
            *("--query", "sort_by(Subnets,&AvailabilityZone)[:2].SubnetId", "--output", "text"),
        ).split()
        if len(subnets) < 2:
            raise Failure(f"the default VPC {vpc} has no subnets in two zones", "Were they deleted?")
        return vpc, subnets

    def _make_security_groups(self, vpc: str, port: int) -> tuple[str, str]:
        there = self._security_groups()
        about = {
            BALANCER_GROUP: "Anyone may reach the load balancer",
            TASK_GROUP: "Only the load balancer may reach tasks",
        }
        missing = [name for name in about if name not in there]
        made = self._together(
            [
                (
                    *("ec2", "create-security-group", "--group-name", name, "--description", about[name]),
                    *("--vpc-id", vpc, "--query", "GroupId", "--output", "text"),
                )
                for name in missing
            ]
        )
        ids = {name: group["GroupId"] for name, group in there.items()} | dict(zip(missing, made, strict=True))
        rules = {
            (BALANCER_GROUP, port): ("--cidr", "0.0.0.0/0"),
            **{(TASK_GROUP, part.port): ("--source-group", ids[BALANCER_GROUP]) for part in PARTS},
        }
        allowed = {
            (name, permission.get("FromPort")) for name, group in there.items() for permission in group["IpPermissions"]
        }
        self._together(
            [
                (
                    *("ec2", "authorize-security-group-ingress", "--group-id", ids[name], "--protocol", "tcp"),
                    *("--port", str(number), *source, "--query", "Return", "--output", "text"),
                )
                for (name, number), source in rules.items()
                if (name, number) not in allowed
            ]
        )
        return ids[BALANCER_GROUP], ids[TASK_GROUP]

    def _make_balancer(self, balancer: dict[str, Any] | None, subnets: list[str], group: str) -> str:
        if balancer:
            return str(balancer["LoadBalancerArn"])
        return self._run(
            *("elbv2", "create-load-balancer", "--name", BALANCER, "--subnets", *subnets, "--security-groups", group),
            *("--query", "LoadBalancers[0].LoadBalancerArn", "--output", "text"),
        )

    def _make_target_groups(self, vpc: str) -> list[str]:
        there = {part.name: arn for part in PARTS if (arn := self._target_group(part))}
        missing = [part for part in PARTS if part.name not in there]
        made = self._together(
            [
                (
                    *("elbv2", "create-target-group", "--name", part.family, "--protocol", "HTTP"),
                    *("--port", str(part.port), "--vpc-id", vpc, "--target-type", "ip"),
                    *("--health-check-path", "/health", "--health-check-interval-seconds", "5"),
                    *("--health-check-timeout-seconds", "2", "--healthy-threshold-count", "2"),
                    *("--unhealthy-threshold-count", "2"),
                    *("--query", "TargetGroups[0].TargetGroupArn", "--output", "text"),
                )
                for part in missing
            ]
        )
        self._together(
            [
                (
                    *("elbv2", "modify-target-group-attributes", "--target-group-arn", arn),
                    *("--attributes", "Key=deregistration_delay.timeout_seconds,Value=5"),
                    *("--query", "Attributes[?Key==`deregistration_delay.timeout_seconds`].Value", "--output", "text"),
                )
                for arn in made
            ]
        )
        arns = there | {part.name: arn for part, arn in zip(missing, made, strict=True)}
        return [arns[part.name] for part in PARTS]

    def _make_listener(
        self, balancer_arn: str, listener: dict[str, Any] | None, port: int, targets: dict[str, str]
    ) -> None:
        arn = listener["ListenerArn"] if listener else ""
        if not arn:
            arn = self._run(
                *("elbv2", "create-listener", "--load-balancer-arn", balancer_arn, "--protocol", "HTTP"),
                *("--port", str(port), "--default-actions", f"Type=forward,TargetGroupArn={targets['web']}"),
                *("--query", "Listeners[0].ListenerArn", "--output", "text"),
            )
        if not self._rules(arn):
            self._run(
                *("elbv2", "create-rule", "--listener-arn", arn, "--priority", "10"),
                *("--conditions", "Field=path-pattern,Values=/api/*"),
                *("--actions", f"Type=forward,TargetGroupArn={targets['api']}"),
                *("--query", "Rules[0].RuleArn", "--output", "text"),
            )

    def _role(self) -> str | None:
        found = _or_none(lambda: self._aws.client("iam").get_role(RoleName=ROLE), "NoSuchEntity")
        return str(found["Role"]["Arn"]) if found else None

    def _role_policies(self) -> list[str]:
        attached = self._aws.client("iam").list_attached_role_policies(RoleName=ROLE)["AttachedPolicies"]
        return [policy["PolicyArn"] for policy in attached]

    def _make_role(self) -> str:
        """As on AWS, Fargate wants an execution role for the awslogs driver."""
        arn = self._role() or self._run(
            *("iam", "create-role", "--role-name", ROLE, "--assume-role-policy-document", json.dumps(TRUST)),
            *("--query", "Role.Arn", "--output", "text"),
        )
        if ROLE_POLICY not in self._role_policies():
            self._run("iam", "attach-role-policy", "--role-name", ROLE, "--policy-arn", ROLE_POLICY)
        return arn

    def _register(self, role: str) -> None:
        commands = []
        for part in PARTS:
            if not self._revisions(part):
                file = self._settings.data_dir / "demo" / f"{part.family}.json"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps(task_definition(part, self._settings.region, role), indent=2) + "\n")
                commands.append(
                    (
                        *("ecs", "register-task-definition", "--cli-input-json", f"file://{file}"),
                        *("--query", "taskDefinition.taskDefinitionArn", "--output", "text"),
                    )
                )
        self._together(commands)

    def _make_services(self, subnets: list[str], group: str, targets: dict[str, str]) -> None:
        there = self._services()
        network = f"awsvpcConfiguration={{subnets=[{','.join(subnets)}],securityGroups=[{group}]}}"
        self._together(
            [
                (
                    *("ecs", "create-service", "--cluster", CLUSTER, "--service-name", part.name),
                    *("--task-definition", part.family, "--desired-count", "2", "--launch-type", "FARGATE"),
                    *("--health-check-grace-period-seconds", "60"),
                    *("--network-configuration", network, "--load-balancers"),
                    f"targetGroupArn={targets[part.name]},containerName={part.name},containerPort={part.port}",
                    *("--query", "service.serviceArn", "--output", "text"),
                )
                for part in PARTS
                if part.name not in there
            ]
        )

    # Waiting and looking whether it is true.

    def _await_stable(self) -> None:
        """Until both services run what they should and every target is healthy. Raises: Failure with the reasons."""
        self._title("Waiting until both services are stable")
        waiter = typed(("ecs", "wait", "services-stable", "--cluster", CLUSTER, "--services", "web", "api"), wide=True)
        self._console.print(Text(f"  (as {waiter[0]} does)", style="dim"))
        groups = {part.name: self._target_group(part) for part in PARTS}
        deadline, shown = time.monotonic() + STABLE_TIMEOUT_S, ""
        with Live(console=self._console, transient=True, auto_refresh=False) as live:
            while True:
                rows = [self._progress(part, groups[part.name], service) for part, service in self._by_part()]
                if self._console.is_terminal:
                    live.update(_progress_table(rows), refresh=True)
                elif (line := "; ".join(row.line for row in rows)) != shown:
                    shown = line
                    self._console.print(f"  {line}")
                if all(row.stable for row in rows):
                    break
                if time.monotonic() > deadline:
                    raise Failure(f"the services are not stable after {STABLE_TIMEOUT_S} s", *self._reasons(rows))
                time.sleep(POLL_S)
        for row in rows:
            self._say(f"✓ {row.line}")

    def _by_part(self) -> list[tuple[Part, dict[str, Any]]]:
        services = self._services()
        missing = [part.name for part in PARTS if part.name not in services]
        if missing:
            raise Failure(f"the service {missing[0]} has gone", "Did something delete it meanwhile? Run this again.")
        return [(part, services[part.name]) for part in PARTS]

    def _progress(self, part: Part, group: str | None, service: dict[str, Any]) -> "Progress":
        health: list[Any] = []
        if group:
            answer = self._aws.client("elbv2").describe_target_health(TargetGroupArn=group)
            health = answer["TargetHealthDescriptions"]
        states = [target["TargetHealth"]["State"] for target in health]
        events = service.get("events") or []
        return Progress(
            name=part.name,
            running=service["runningCount"],
            desired=service["desiredCount"],
            deployments=len(service["deployments"]),
            healthy=states.count("healthy"),
            event=events[0]["message"] if events else "",
        )

    def _reasons(self, rows: list["Progress"]) -> list[str]:
        """Why: last events, and what the latest stopped tasks said."""
        ecs = self._aws.client("ecs")
        reasons = [f"{row.line}. {row.event}" for row in rows if not row.stable]
        stopped = ecs.list_tasks(cluster=CLUSTER, desiredStatus="STOPPED")["taskArns"][:3]
        if stopped:
            for task in ecs.describe_tasks(cluster=CLUSTER, tasks=stopped)["tasks"]:
                reasons.append(f"{task['taskArn'].rsplit('/', 1)[-1][:8]} stopped: {task.get('stoppedReason', '')}")
        return [*reasons, "See: portside status; portside logs"]

    def _check(self, url: str) -> None:
        """Real requests, each on a connection of its own. Raises: Failure with what the load balancer answered."""
        self._title("Asking the load balancer")
        names: dict[str, set[str]] = {}
        for path, read in (("/", _served_by), ("/api/info", _answered_by)):
            seen = names.setdefault(path, set())
            for _ in range(REQUESTS):
                seen.add(self._ask(url, path, read))
                if len(seen) > 1:
                    break
            self._console.print(Text.assemble(("  $ ", "dim"), f"curl {url}{path.removeprefix('/')}"))
            self._say(f"  ✓ 200, answered by {', '.join(sorted(seen))}")

    def _ask(self, url: str, path: str, read: Callable[[Any, bytes], str]) -> str:
        host = url.removeprefix("http://").rstrip("/")
        port = int(host.rpartition(":")[2])
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while True:
            connection = HTTPConnection("127.0.0.1", port, timeout=10)
            try:
                connection.request("GET", path, headers={"Host": host, "Connection": "close"})
                answer = connection.getresponse()
                body = answer.read()
                if answer.status == 200:
                    return read(answer, body)
                problem = f"{answer.status} {answer.reason}"
            except (OSError, ValueError, KeyError) as error:
                problem = str(error) or type(error).__name__
            finally:
                connection.close()
            if time.monotonic() > deadline:
                raise Failure(f"{url}{path[1:]} does not answer as it should: {problem}", "See: portside status")
            time.sleep(POLL_S)

    def _close(self, url: str, took_s: float) -> None:
        command = command_name()
        option = "" if self._settings.data_dir == Settings().data_dir else f" --data-dir {self._settings.data_dir}"
        print_line = self._console.print
        print_line()
        print_line(Text.assemble(("It answers: ", "bold"), (url, "bold green"), f"   (took {took_s:.0f} s)"))
        print_line(f"  In a browser, or: curl {url}api/info")
        print_line("\n[bold]To look further[/]")
        lines = [f'eval "$({command} env{option})"']
        if not _knows_endpoint(shutil.which("aws")):
            lines.append(f"alias aws={CLONE / '.venv/bin/aws'}    # one that goes by AWS_ENDPOINT_URL")
        lines += [
            "aws ecs list-tasks --cluster demo",
            "aws logs filter-log-events --log-group-name /demo/api --query 'events[].message' --output text",
            "aws logs tail /demo/api --follow    # version 2 of aws",
            f"{command} status{option}",
            "aws ecs stop-task --cluster demo --task $(aws ecs list-tasks --cluster demo \\",
            "    --service-name api --query 'taskArns[0]' --output text)   # the service replaces it",
            f"{command} demo --remove{option}",
        ]
        for line in lines:
            print_line(Text(f"  {line}"))

    # Removing it.

    def remove(self) -> None:
        daemon.require(self._settings)
        self._aws = Aws(variables(self._settings))
        try:
            self._remove()
        except (ClientError, BotoCoreError) as error:
            raise Failure(f"Portside refused a look at what is there: {error}", "See: portside logs") from error

    def _remove(self) -> None:
        if others := self._other_services():
            raise Failure(
                f"the cluster {CLUSTER} also has what is not the demonstration's: {', '.join(others)}",
                f"Delete it first: aws ecs delete-service --cluster {CLUSTER} --service {others[0]} --force",
            )
        self._title("Removing the demonstration")
        self._together(
            [
                (
                    *("ecs", "delete-service", "--cluster", CLUSTER, "--service", name, "--force"),
                    *("--query", "service.status", "--output", "text"),
                )
                for name in self._services()
            ]
        )
        if balancer := self._balancer():
            self._run("elbv2", "delete-load-balancer", "--load-balancer-arn", balancer["LoadBalancerArn"])
        self._until("the tasks have stopped", lambda: not self._live_tasks())
        self._together(
            [
                ("elbv2", "delete-target-group", "--target-group-arn", arn)
                for part in PARTS
                if (arn := self._target_group(part))
            ]
        )
        self._together(
            [
                (
                    *("ecs", "deregister-task-definition", "--task-definition", arn),
                    *("--query", "taskDefinition.status", "--output", "text"),
                )
                for part in PARTS
                for arn in self._revisions(part)
            ]
        )
        if self._role():
            for policy in self._role_policies():
                self._run("iam", "detach-role-policy", "--role-name", ROLE, "--policy-arn", policy)
            self._run("iam", "delete-role", "--role-name", ROLE)
        self._remove_security_groups()
        commands: list[Sequence[str]] = [
            ("logs", "delete-log-group", "--log-group-name", p.log_group)
            for p in PARTS
            if p.log_group in self._log_groups()
        ]
        if self._cluster_is_there():
            query = ("--query", "cluster.status", "--output", "text")
            commands.append(("ecs", "delete-cluster", "--cluster", CLUSTER, *query))
        self._together(commands)
        self._say("It is gone. The images stay: podman rmi " + " ".join(r.name for r in image.RECIPES))

    def _cluster_is_there(self) -> bool:
        found = self._aws.client("ecs").describe_clusters(clusters=[CLUSTER])["clusters"]
        return any(cluster["status"] == "ACTIVE" for cluster in found)

    def _live_tasks(self) -> list[Any]:
        if not self._cluster_is_there():
            return []
        ecs = self._aws.client("ecs")
        arns = [
            arn
            for status in ("RUNNING", "STOPPED")
            for part in PARTS
            for arn in ecs.list_tasks(cluster=CLUSTER, family=part.family, desiredStatus=status)["taskArns"]
        ]
        if not arns:
            return []
        tasks = ecs.describe_tasks(cluster=CLUSTER, tasks=arns[:100])["tasks"]
        return [task for task in tasks if task["lastStatus"] not in ("STOPPED", "DELETED")]

    def _remove_security_groups(self) -> None:
        """The tasks' group first, as it names the other; both may still be in use for a moment."""
        there = self._security_groups()
        for name in (TASK_GROUP, BALANCER_GROUP):
            if name in there:
                identifier = str(there[name]["GroupId"])
                self._until(f"nothing uses {name}", partial(self._is_unused, identifier))
                self._run("ec2", "delete-security-group", "--group-id", identifier)

    def _is_unused(self, security_group_id: str) -> bool:
        filters = [{"Name": "group-id", "Values": [security_group_id]}]
        return not self._aws.client("ec2").describe_network_interfaces(Filters=filters)["NetworkInterfaces"]

    def _until(self, what: str, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + REMOVE_TIMEOUT_S
        with self._console.status(f"waiting until {what} …"):
            while not true():
                if time.monotonic() > deadline:
                    raise Failure(
                        f"{what}: not after {REMOVE_TIMEOUT_S} s", "See: portside status; then run this again."
                    )
                time.sleep(POLL_S)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a service is."""

    name: str
    running: int
    desired: int
    deployments: int
    healthy: int
    event: str

    @property
    def stable(self) -> bool:
        """As the waiter services-stable has it, and the load balancer's view besides."""
        return self.running == self.desired and self.deployments == 1 and self.healthy >= self.desired

    @property
    def line(self) -> str:
        return f"{self.name}: {self.running} of {self.desired} tasks running, {self.healthy} healthy"


def _progress_table(rows: list[Progress]) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 2), show_header=False)
    for row in rows:
        table.add_row(
            Text("●" if row.stable else "○", style="green" if row.stable else "yellow"), row.line, row.event[:90]
        )
    return table


def task_definition(part: Part, region: str, role: str) -> dict[str, Any]:
    """The input of RegisterTaskDefinition for one of the two."""
    return {
        "family": part.family,
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "executionRoleArn": role,
        "containerDefinitions": [
            {
                "name": part.name,
                "image": part.recipe.name,
                "essential": True,
                "portMappings": [{"containerPort": part.port, "protocol": "tcp"}],
                "logConfiguration": {
                    "logDriver": "awslogs",
                    "options": {
                        "awslogs-group": part.log_group,
                        "awslogs-region": region,
                        "awslogs-stream-prefix": "demo",
                    },
                },
            }
        ],
    }


def _served_by(answer: Any, body: bytes) -> str:
    if b"Portside demonstration" not in body:
        raise ValueError("another page than the demonstration's")
    return str(answer.headers["X-Served-By"])


def _answered_by(answer: Any, body: bytes) -> str:
    return str(json.loads(body)["hostname"])


def _url(dns_name: str, port: int) -> str:
    return f"http://{dns_name}:{port}/"


def _or_none(look: Callable[[], Any], unknown: str = "NotFound") -> Any:
    """The answer, or None where AWS answers that a name is unknown: with an error code that holds the given words."""
    try:
        return look()
    except ClientError as error:
        if unknown in error.response["Error"]["Code"]:
            return None
        raise


def _knows_endpoint(program: str | None) -> bool:
    """Whether a command of AWS's goes by AWS_ENDPOINT_URL: those before 1.29 and 2.13 go to AWS itself."""
    if program is None:
        return False
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    version = re.match(r"aws-cli/(\d+)\.(\d+)\.", said.stdout + said.stderr)
    return version is not None and (int(version[1]), int(version[2])) >= ((1, 29) if version[1] == "1" else (2, 13))
