"""`portside lb`: load balancers as they stand; lines longer than the terminal go on in the next."""

import json
import sys
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from portside.cli import instance as daemon
from portside.cli.failure import Failure
from portside.settings import Settings

WIDE: Final = 10_000
"""Columns where nobody reads at a terminal: programs take each rule as one line."""
COLOURS: Final = {"healthy": "green", "unhealthy": "red", "active": "green", "failed": "red"}


def show(settings: Settings, name: str, *, as_json: bool) -> None:
    """Raises: Failure when the daemon does not run, and for a name that no load balancer has."""
    path = "/_portside/lb" + (f"?{urlencode({'name': name})}" if name else "")
    answer = daemon.ask(settings, path, "All of them: portside lb")[1]
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
    for each in render(answer, datetime.now(UTC)):
        console.print(each)


def route(
    settings: Settings, name: str, method: str, url: str, *, headers: list[str], source: str, as_json: bool
) -> None:
    """Where a request would go, and why. Raises: Failure for what is unknown, and when the daemon does not run."""
    sent = [(key.strip(), value.strip()) for key, colon, value in (each.partition(":") for each in headers) if colon]
    if len(sent) != len(headers):
        raise Failure("A header is given as 'NAME: VALUE'")
    body = {"name": name, "method": method, "url": url, "headers": sent, "from": source}
    answer = daemon.ask(
        settings,
        "/_portside/lb/route",
        "All load balancers: portside lb",
        method="POST",
        body=json.dumps(body).encode(),
    )[1]
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    console = Console(highlight=False)
    for line in route_lines(answer):
        console.print(line, soft_wrap=True)


def route_lines(answer: dict[str, Any]) -> list[Text]:
    """One line for each rule that was tried, with the conditions over which it failed, then the answer."""
    request, listener = answer["request"], answer["listener"]
    query = f"?{request['query']}" if request["query"] else ""
    lines = [
        Text.assemble(
            (f"{request['method']} {request['path']}{query}", "bold"),
            f" for {request['host']}, from {request['from']}, to {listener['protocol']} {listener['port']}",
        )
    ]
    for rule in answer["rules"]:
        lines.append(
            Text.assemble(f"{rule['priority']:>7}  ", ("matches", "green") if rule["matches"] else ("no", "yellow"))
        )
        for each in rule["conditions"]:
            if rule["matches"] or not each["holds"]:
                sign = ("+", "green") if each["holds"] else ("-", "yellow")
                field = _condition_name(each["condition"])
                lines.append(Text.assemble("         ", sign, f" {field}: {each['why']}"))
    if not answer["rules"] or not answer["rules"][-1]["matches"]:
        lines.append(Text("default  no rule matches: the listener's default action"))
    names = {each["arn"]: each["name"] for each in answer["targetGroups"]}
    said = _action(answer["action"], names)
    lines.append(Text.assemble("→ ", (f"redirects to {answer['location']}" if "location" in answer else said, "bold")))
    for group in answer["targetGroups"]:
        colour = "green" if group["healthy"] else "red"
        lines.append(
            Text.assemble(f"  {group['name']}: ", (f"{group['healthy']} of {group['targets']} targets healthy", colour))
        )
    return lines


def render(answer: dict[str, Any], now: datetime) -> list[Tree | Text]:
    """The daemon's answer as trees."""
    if not answer["loadBalancers"]:
        return [Text("There is no load balancer.")]
    return [_balancer(each, now) for each in answer["loadBalancers"]]


def _balancer(balancer: dict[str, Any], now: datetime) -> Tree:
    head = Text.assemble(
        (balancer["name"], "bold"),
        f" ({balancer['type']}, {balancer['scheme']}) ",
        (balancer["state"], COLOURS.get(balancer["state"], "yellow")),
    )
    tree = Tree(head)
    tree.add(Text(balancer["dnsName"], style="dim"))
    names = {each["arn"]: each["name"] for each in balancer["targetGroups"]}
    for listener in balancer["listeners"]:
        branch = tree.add(Text(f"{listener['protocol']} {listener['port']}"))
        for rule in listener["rules"]:
            line = Text(f"{rule['Priority']:>7}  {_conditions(rule)}{_actions(rule, names)}")
            if (hits := rule.get("hits")) is not None:
                line.append(f"  {hits} request{'s' if hits != 1 else ''}", "dim")
            branch.add(line)
    for group in balancer["targetGroups"]:
        _group(tree, group, now, what="instances" if balancer["type"] == "classic" else "target group")
    return tree


def _conditions(rule: dict[str, Any]) -> str:
    said = [_condition(each) for each in rule["Conditions"]]
    return f"{' and '.join(said)}: " if said else ""


def _condition(condition: dict[str, Any]) -> str:
    """As `path-pattern /a or /b`; a query string's as `query-string key=value`, or the value alone without a key."""
    config = _config(condition)
    values = condition.get("Values") or config.get("Values") or config.get("RegexValues") or ()
    said = " or ".join(each if isinstance(each, str) else _parameter(each) for each in values)
    return f"{_condition_name(condition)} {said}"


def _parameter(pair: dict[str, str]) -> str:
    return f"{pair['Key']}={pair['Value']}" if pair.get("Key") else pair["Value"]


def _condition_name(condition: dict[str, Any]) -> str:
    header = _config(condition).get("HttpHeaderName")
    return f"{condition['Field']} {header}" if header else str(condition["Field"])


def _config(condition: dict[str, Any]) -> dict[str, Any]:
    return next((each for name, each in condition.items() if name.endswith("Config")), {})


def _actions(rule: dict[str, Any], names: dict[str, str]) -> str:
    return ", ".join(_action(each, names) for each in rule["Actions"])


def _action(action: dict[str, Any], names: dict[str, str]) -> str:
    match action:
        case {"ForwardConfig": {"TargetGroups": groups}}:
            shown = [names.get(each["TargetGroupArn"], each["TargetGroupArn"]) for each in groups]
            if len(groups) == 1:
                return f"to {shown[0]}"
            weights = [each.get("Weight", 1) for each in groups]
            return "to " + ", ".join(f"{name} ({weight})" for name, weight in zip(shown, weights, strict=True))
        case {"FixedResponseConfig": config}:
            return f"answers {config['StatusCode']}"
        case {"RedirectConfig": config}:
            return f"redirects ({config['StatusCode'].removeprefix('HTTP_')}) to {_template(config)}"
    config = {name: each for name, each in action.items() if name not in ("Type", "Order")}
    return f"{action['Type']} {json.dumps(config)}" if config else str(action["Type"])


def _template(redirect: dict[str, str]) -> str:
    """The location, with AWS's keywords for what is the request's."""
    parts = {name: redirect.get(name, f"#{{{name.lower()}}}") for name in ("Protocol", "Host", "Port", "Query")}
    query = f"?{parts['Query']}" if parts["Query"] else ""
    scheme = parts["Protocol"].lower()
    return f"{scheme}://{parts['Host']}:{parts['Port']}{redirect.get('Path', '/#{path}')}{query}"


def _group(tree: Tree, group: dict[str, Any], now: datetime, *, what: str) -> None:
    branch = tree.add(Text(f"{what} {group['name']} ({group['protocol']} {group['port']})"))
    if counted := group["counted"]:
        branch.add(Text(_counted(counted, group["protocol"]), style="dim"))
    for target in group["targets"]:
        line = Text.assemble(
            f"{target['id']}:{target['port']} {target['zone']} ".replace("  ", " "),
            (target["state"], COLOURS.get(target["state"], "yellow")),
        )
        if target["description"] or target["reason"]:
            line.append(f"  {target['description'] or target['reason']}", "dim")
        if target["checkedAt"]:
            seconds = (now - datetime.fromisoformat(target["checkedAt"])).total_seconds()
            line.append(f"  for {max(0.0, seconds):.0f} s", "dim")
        branch.add(line)
    if not group["targets"]:
        branch.add(Text("no targets", style="yellow"))


def _counted(counted: dict[str, Any], protocol: str) -> str:
    """Of requests where the protocol has them, else of connections."""
    if protocol not in ("HTTP", "HTTPS"):
        return f"{counted['connections']} connections, {counted['openConnections']} open, {counted['bytes']} bytes"
    answers = ", ".join(f"{count} {name}" for name, count in counted["responses"].items() if count)
    said = [f"{counted['requests']} requests" + (f": {answers}" if answers else "")]
    for name, words in (
        ("noTarget", "without a target"),
        ("timeouts", "timed out"),
        ("resets", "broken off"),
        ("connectErrors", "connections failed"),
    ):
        if counted[name]:
            said.append(f"{counted[name]} {words}")
    if counted["p50Ms"] is not None:
        said.append(f"p50 {counted['p50Ms']:.1f} ms, p99 {counted['p99Ms']:.1f} ms")
    return "; ".join(said)
