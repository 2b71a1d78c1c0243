"""Which rule of a load balancer a request would go by: the extension behind `portside lb route`."""

import asyncio
import ipaddress
import json
import re
import sys
from collections.abc import Collection
from typing import Any, Final
from urllib.parse import urlsplit

from portside.api.elbv2 import wire
from portside.domain import load_balancer_rule as rule
from portside.domain.listener_match import Considered, Question, Request, consider, location, questions
from portside.domain.load_balancer import Action, Forward, Listener, LoadBalancer, Redirect
from portside.domain.table import LISTENER, LOAD_BALANCER, RULE, TARGET, TARGET_GROUP
from portside.store.interface import Store

TIMEOUT_S: Final = 2.0
MAX_URL: Final = 8192
_METHOD: Final = re.compile(r"[A-Za-z_-]{1,40}")
_PROGRAM: Final = """
import json, re, sys
for regex, text, any_case in json.load(sys.stdin):
    sys.stdout.write("1" if re.search(regex, text, re.IGNORECASE if any_case else 0) else "0")
"""


class _Refused(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


async def answer(store: Store, body: bytes) -> tuple[int, dict[str, Any]]:
    """HTTP status and document.

    Args:
        body: {"name", "method", "url", "headers": [[name, value]], "from": address}. `url` may be a path alone,
            and `name` an ARN.

    Returns: {"listener": {"protocol", "port"}, "request": {"method", "host", "path", "query", "from"}, "rules": [{
        "priority", "arn", "matches", "conditions": [{"condition" in AWS's shape, "holds", "why"}]}], "rule": the one
        that it goes by, "action" in AWS's shape, "targetGroups": [{"name", "weight", "healthy", "targets"}],
        "location"}; {"error": ...} for what cannot be answered. `rules` ends with the first that matches.
    """
    try:
        return 200, await _answer(store, body)
    except _Refused as refused:
        return refused.code, {"error": str(refused)}


async def _answer(store: Store, body: bytes) -> dict[str, Any]:
    try:
        asked = json.loads(body)
        name, method, url = str(asked["name"]), str(asked["method"]), str(asked["url"])
        headers = tuple((str(key), str(value)) for key, value in asked.get("headers", ()))
        source = str(ipaddress.IPv4Address(asked.get("from", "127.0.0.1")))
    except ipaddress.AddressValueError as error:
        raise _Refused(400, f"the client's address: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise _Refused(400, "name, method, url, headers and from are asked for, as JSON") from error
    if not _METHOD.fullmatch(method):
        raise _Refused(400, f"{method} is not a method")
    if method == "TRACE":
        raise _Refused(400, "TRACE is answered with 405 before any rule is looked at")
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise _Refused(400, f"a URL has up to {MAX_URL} printable characters of ASCII, and no spaces")
    balancer = next((each for each in store.scan(LOAD_BALANCER) if name in (each.name, each.arn)), None)
    if balancer is None:
        raise _Refused(404, f"there is no load balancer {name}")
    if balancer.type == "network":
        raise _Refused(400, f"{name} is a Network Load Balancer: it has no rules")
    listener, request = _asked(store, balancer, method, url, headers, source)
    rules = store.find(RULE, "listener", listener.arn)
    found = await _answers(questions(rules, request))
    considered = consider(rules, request, found.__contains__)
    chosen = considered[-1].rule if considered and considered[-1].matches else None
    action = chosen.action if chosen is not None else listener.default_action
    document: dict[str, Any] = {
        "listener": {"protocol": listener.protocol, "port": listener.port},
        "request": {
            "method": request.method,
            "host": request.host,
            "path": request.path,
            "query": request.query,
            "from": request.source,
        },
        "rules": [_considered(each) for each in considered],
        "rule": wire.rule_to(chosen) if chosen is not None else wire.default_rule_to(listener),
        "action": wire.action_to(action),
        "targetGroups": _groups(store, balancer, action),
    }
    if isinstance(action, Redirect):
        protocol = "https" if listener.protocol == "HTTPS" else "http"
        document["location"] = location(action, request, protocol=protocol, port=listener.port)
    return document


def _asked(
    store: Store, balancer: LoadBalancer, method: str, url: str, headers: tuple[tuple[str, str], ...], source: str
) -> tuple[Listener, Request]:
    """The listener that a request comes to, and what it sees of it. Without a host in the URL it is the load balancer's
    name; without a scheme and a port it comes to the usual port of HTTP or HTTPS, or else to the listener with the
    lowest one."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _Refused(400, f"{url} is not a URL: {error}") from error
    if parts.scheme not in ("", "http", "https") or not (parts.netloc or url.startswith("/")):
        raise _Refused(400, f"{url} is not an http or https URL, and no path")
    listeners = sorted(store.find(LISTENER, "load_balancer", balancer.arn), key=lambda each: each.port)
    if port is None and parts.scheme:
        port = 443 if parts.scheme == "https" else 80
    if port is None:
        there_are = [each.port for each in listeners]
        port = next((each for each in (80, 443, *there_are) if each in there_are), 80)
    listener = next((each for each in listeners if each.port == port), None)
    if listener is None:
        there = ", ".join(f"{each.protocol} {each.port}" for each in listeners) or "none"
        raise _Refused(400, f"{balancer.name} has no listener on port {port}; those it has: {there}")
    if parts.scheme and parts.scheme.upper() != listener.protocol:
        raise _Refused(400, f"the listener on port {port} speaks {listener.protocol}, not {parts.scheme.upper()}")
    named = next((value for key, value in headers if key.lower() == "host"), "")
    kept = [(key, value) for key, value in headers if key.lower() != "host"]
    if balancer.attributes.get("routing.http.drop_invalid_header_fields.enabled") == "true":
        kept = [(key, value) for key, value in kept if rule.VALID_HEADER.fullmatch(key)]
    request = Request(
        method=method,
        host=named or parts.netloc.rpartition("@")[2] or balancer.dns_name,
        path=parts.path or "/",
        query=parts.query,
        headers=tuple(kept),
        source=source,
    )
    return listener, request


async def _answers(asked: Collection[Question]) -> set[Question]:
    """The questions whose answer is yes. They are put to a process of its own, since an expression can take for ever,
    and nothing ends a match once it has begun."""
    if not asked:
        return set()
    ordered = sorted(asked)
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-c", _PROGRAM),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            said, _ = await child.communicate(json.dumps(ordered).encode())
    except TimeoutError:
        raise _Refused(
            400, "the regular expressions take too long to try here; the load balancer's own engine does not"
        ) from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if len(said) != len(ordered):
        raise _Refused(500, "the regular expressions could not be tried")
    return {question for question, yes in zip(ordered, said.decode(), strict=True) if yes == "1"}


def _considered(considered: Considered) -> dict[str, Any]:
    return {
        "priority": str(considered.rule.priority),
        "arn": considered.rule.arn,
        "matches": considered.matches,
        "conditions": [
            {"condition": wire.condition_to(each.condition), "holds": each.holds, "why": each.why}
            for each in considered.conditions
        ],
    }


def _groups(store: Store, balancer: LoadBalancer, action: Action) -> list[dict[str, Any]]:
    if not isinstance(action, Forward):
        return []
    found = []
    for weighted in action.target_groups:
        group = store.get(TARGET_GROUP, f"{balancer.scope.prefix}{weighted.target_group_arn}")
        targets = list(store.find(TARGET, "target_group", weighted.target_group_arn))
        active = [each for each in targets if each.deregistered_at is None]
        found.append(
            {
                "name": group.name if group is not None else weighted.target_group_arn,
                "arn": weighted.target_group_arn,
                "weight": weighted.weight,
                "healthy": sum(each.checked == "healthy" for each in active),
                "targets": len(active),
            }
        )
    return found
