"""`portside network`: VPCs as a tree, with where subnets lead and who may talk to whom."""

import json
from typing import Any

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from portside.cli import instance as daemon
from portside.settings import Settings


def show(settings: Settings, *, everything: bool, as_json: bool) -> None:
    """Args: everything: also VPCs and groups in which nothing is. Raises: Failure when the daemon does not run."""
    _, answer = daemon.ask(settings, "/_portside/network")
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    console = Console(highlight=False)
    for tree in render(answer, everything=everything):
        console.print(tree, soft_wrap=True)


def render(answer: dict[str, Any], *, everything: bool = False) -> list[Tree | Text]:
    shown = [each for each in answer["vpcs"] if everything or any(s["interfaces"] for s in each["subnets"])]
    if not shown:
        return [Text("No VPC has anything in it. All of them: portside network --all")]
    return [_vpc(each, everything=everything) for each in shown]


def _vpc(vpc: dict[str, Any], *, everything: bool) -> Tree:
    default = ", default" if vpc["isDefault"] else ""
    blocks = ", ".join(vpc["cidrBlocks"])
    tree = Tree(Text(f"{vpc['id']} {blocks} ({vpc['account']}, {vpc['region']}{default})", style="bold"))
    for subnet in vpc["subnets"]:
        if everything or subnet["interfaces"]:
            _subnet(tree, subnet)
    groups = [each for each in vpc["securityGroups"] if everything or each["isUsed"]]
    if groups:
        branch = tree.add(Text("security groups"))
        for group in groups:
            node = branch.add(Text(f"{group['name']} ({group['id']})"))
            for direction in ("in", "out"):
                for rule in group[direction] or ["nothing"]:
                    node.add(Text(f"{direction}: {rule}"))
    if not vpc["hasResolver"]:
        tree.add(Text("no resolver: enableDnsSupport is off", style="yellow"))
    for namespace in vpc["namespaces"]:
        _namespace(tree, namespace)
    return tree


def _namespace(tree: Tree, namespace: dict[str, Any]) -> None:
    branch = tree.add(Text(f"names in {namespace['name']}"))
    if not namespace["resolves"]:
        branch.add(Text("do not resolve: enableDnsHostnames or enableDnsSupport is off", style="red"))
    for service in namespace["services"]:
        found = [each["value"] + ("" if each["isHealthy"] else " (unhealthy)") for each in service["instances"]]
        kinds = ", ".join(service["records"])
        branch.add(Text(f"{service['name']} {kinds} → {', '.join(found) or 'nothing'}"))


def _subnet(tree: Tree, subnet: dict[str, Any]) -> None:
    branch = tree.add(Text(f"{subnet['id']} {subnet['cidrBlock']}, {subnet['zone']}"))
    for route in subnet["routes"]:
        lost = route["to"].startswith("nowhere")
        branch.add(Text(f"{route['destination']} → {route['to']}", style="red" if lost else "green"))
    if not subnet["routes"]:
        branch.add(Text("no way out", style="yellow"))
    for entry in subnet["entries"]:
        branch.add(Text(f"{subnet['networkAcl']} {entry}"))
    for each in subnet["interfaces"]:
        public = f", public {each['publicAddress']}" if each["publicAddress"] else ""
        groups = f", in {', '.join(each['securityGroups'])}" if each["securityGroups"] else ""
        branch.add(Text(f"{each['address']} {each['owner']}{public}{groups}"))
