"""What the conditions and redirects of a listener's rules may be, and what conditions mean as regular expressions.

Sources: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/rule-condition-types.html and
rule-action-types.html beside it.
"""

import ipaddress
import re
import warnings
from typing import Final

from portside.domain.load_balancer import Condition, Redirect
from portside.domain.refusal import RefusalKind, Refused

VALUES_PER_RULE: Final = 5
WILDCARDS_PER_RULE: Final = 5
KEYWORDS: Final = ("protocol", "host", "port", "path", "query")
NEVER: Final = "never"
"""An expression for no IPv4 address."""

_SEVERAL: Final = ("http-header", "query-string")
"""The fields that a rule may have more than once."""
_WITH_REGEX: Final = ("path-pattern", "host-header", "http-header")
_ALLOWED: Final = {
    "path-pattern": re.compile(r"[A-Za-z0-9_\-.$/~\"'@:+&*?]*"),
    "host-header": re.compile(r"[A-Za-z0-9_\-.*?]*"),
    "http-header": re.compile(r"[\x20-\x7e]*"),
    "http-request-method": re.compile(r"[A-Z_-]*"),
}
_QUERY: Final = re.compile(r"[A-Za-z0-9_\-.$/~\"'@:+&()!,;=*?\\%]*")
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]{1,40}")
_GROUP: Final = re.compile(r"\(\?(?!:|i\)|i:|P<)")
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_CLASS: Final = re.compile(r"(?:\\.)|\[\^?(\]?(?:\\.|[^\]\\])*)\]")
_COUNT: Final = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_REGEX_WORK: Final = 5000
"""Length times repetitions: what RE2 compiles within Envoy's limits."""


def _invalid(message: str) -> Refused:
    return Refused(RefusalKind.INVALID, message, "")


# --- conditions -----------------------------------------------------------------------------------------------------


def check_conditions(conditions: tuple[Condition, ...]) -> None:
    """Raises: Refused."""
    if not conditions:
        raise _invalid("A condition must be specified")
    fields = [condition.field for condition in conditions]
    for field in fields:
        if fields.count(field) > 1 and field not in _SEVERAL:
            raise _invalid(f"Rules can only have one '{field}' condition")
    total = sum(len(each.values) + len(each.regex_values) + len(each.query) for each in conditions)
    if total > VALUES_PER_RULE:
        raise _invalid(f"A rule can only have '{VALUES_PER_RULE}' condition values")
    for condition in conditions:
        _check_condition(condition)
    wildcards = sum(
        len(re.findall(r"(?<!\\)[*?]", value))
        for each in conditions
        if each.field != "source-ip"
        for value in (*each.values, *(part for pair in each.query for part in (pair.key, pair.value)))
    )
    if wildcards > WILDCARDS_PER_RULE:
        raise _invalid(f"A rule can only have '{WILDCARDS_PER_RULE}' condition wildcards")


def _check_condition(condition: Condition) -> None:
    field = condition.field
    if condition.values and condition.regex_values:
        raise _invalid(f"Condition values and regex values cannot both be specified for field '{field}'")
    if condition.regex_values and field not in _WITH_REGEX:
        raise _invalid(f"Regex values cannot be specified for field '{field}'")
    if not (condition.values or condition.regex_values or condition.query):
        raise _invalid(f"A condition value must be specified for field '{field}'")
    if field == "http-header":
        if not _HEADER_NAME.fullmatch(condition.header):
            raise _invalid(f"The HTTP header name '{condition.header}' is not valid")
        if condition.header.lower() == "host":
            raise _invalid("The host header cannot be specified in an 'http-header' condition")
    for value in condition.values:
        _check_value(field, value)
    for pair in condition.query:
        for part, name in ((pair.key, "key"), (pair.value, "value")):
            if not part and name == "value":
                raise _invalid("Condition value cannot be empty")
            if len(part) > 128 or not _QUERY.fullmatch(part):
                raise _invalid(f"The query string {name} '{part}' is not valid")
    for regex in condition.regex_values:
        if len(regex) > 128:
            raise _invalid(f"Condition value '{regex}' cannot be longer than '128' characters")
        check_regex(regex)


def _check_value(field: str, value: str) -> None:
    if not value:
        raise _invalid("Condition value cannot be empty")
    if field == "source-ip":
        try:
            ipaddress.ip_network(value, strict=True)
        except ValueError:
            raise _invalid(f"Condition value '{value}' is not a valid CIDR block") from None
        if "/" not in value:
            raise _invalid(f"Condition value '{value}' is not a valid CIDR block")
        return
    most = 40 if field == "http-request-method" else 128
    if len(value) > most:
        raise _invalid(f"Condition value '{value}' cannot be longer than '{most}' characters")
    if not _ALLOWED[field].fullmatch(value):
        raise _invalid(f"Condition value '{value}' contains a character that is not valid")
    if field == "host-header" and "." not in value and value != "*":
        raise _invalid(f"Condition value '{value}' must include at least one '.' character")


def check_regex(regex: str) -> None:
    """Only what AWS's expressions and RE2 both have: no look-around, back-references, atomic groups, possessive
    quantifiers or Unicode classes, and nothing that would compile to a huge program.

    Raises: Refused."""
    refused = _invalid(f"The regular expression '{regex}' is not valid")
    if not regex or not regex.isascii() or not regex.isprintable():
        raise refused
    for inner in _CLASS.findall(regex):
        if "[" in inner or re.search(r"&&|--|~~|\|\||\\[bBDWS]", inner):
            raise refused
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)  # what only other engines take for a set of its own
            re.compile(regex)
    except (re.error, OverflowError, RecursionError, FutureWarning):
        raise refused from None
    bare = _ESCAPE.sub("", regex)
    if _GROUP.search(bare) or re.search(r"[*+?}]\+", bare) or "[:" in bare:
        raise refused
    if any(char.isalnum() and char not in "dDwWsSbB" for char in _ESCAPE.findall(regex)):
        raise refused
    work = len(regex)
    for least, most in _COUNT.findall(bare):
        work *= max(int(least), int(most or 0), 1)
    if work > _REGEX_WORK:
        raise refused


def pattern_regex(pattern: str, one: str = ".", *, escapes: bool = False) -> str:
    """`*` is any number of characters, `?` exactly one. `escapes`: a backslash before them takes their meaning."""
    parts: list[str] = []
    position = 0
    while position < len(pattern):
        char = pattern[position]
        if escapes and char == "\\" and pattern[position + 1 : position + 2] in ("*", "?", "\\"):
            position += 1
            parts.append(re.escape(pattern[position]))
        else:
            parts.append({"*": f"{one}*", "?": one}.get(char) or re.escape(char))
        position += 1
    return "".join(parts)


def condition_regex(condition: Condition) -> str:
    """An RE2 expression for the whole of: the path without its query (path-pattern), the host with or without its port
    (host-header), the header (http-header), the method, the path with its query (query-string), the client's address
    (source-ip)."""
    match condition.field:
        case "path-pattern":
            return _either(condition) or "(?:" + "|".join(map(pattern_regex, condition.values)) + ")"
        case "host-header":
            if condition.regex_values:
                return "|".join(f"(?i:{_host_regex(each)})" for each in condition.regex_values)
            # no wildcard stands for the colon before a port, which is no part of the name
            return "(?i)(?:" + "|".join(pattern_regex(each, "[^:]") for each in condition.values) + ")(?::[0-9]+)?"
        case "http-header":
            return _either(condition) or "(?i)(?:" + "|".join(map(pattern_regex, condition.values)) + ")"
        case "http-request-method":
            return "|".join(map(re.escape, condition.values))
        case "query-string":
            pairs = "|".join(
                f"{pattern_regex(each.key, '[^&=]', escapes=True) if each.key else '[^&=]*'}"
                f"={pattern_regex(each.value, '[^&]', escapes=True)}"
                for each in condition.query
            )
            return rf"(?i)[^?]*\?(?:.*&)?(?:{pairs})(?:&.*)?"
        case "source-ip":
            return "|".join(network_regex(each) for each in condition.values)


def _either(condition: Condition) -> str:
    """An expression matches where it matches a part; `^` and `$` hold it to the ends."""
    return "|".join(f"(?:.*(?:{each}).*)" for each in condition.regex_values)


def _host_regex(regex: str) -> str:
    """The port, if the client sends one, is no part of what the expression sees: its end comes before the port."""
    parts = re.split(r"(\\.|\[\^?\]?(?:\\.|[^\]\\])*\])", regex)
    ended = "".join(part if odd % 2 else part.replace("$", "(?:(?::[0-9]+)?$)") for odd, part in enumerate(parts))
    return f"[^:]*(?:{ended})[^:]*(?::[0-9]+)?"


def network_regex(network: str) -> str:
    """The IPv4 addresses of a CIDR block as an expression; clients have no others."""
    parsed = ipaddress.ip_network(network)
    if parsed.version == 6:
        return NEVER
    octets: list[str] = []
    for position in range(4):
        fixed = min(8, max(0, parsed.prefixlen - 8 * position))
        octet = parsed.network_address.packed[position]
        if fixed == 0:
            octets.append("[0-9]+")
        else:
            octets.append("(?:" + "|".join(str(each) for each in range(octet, octet + (1 << (8 - fixed)))) + ")")
    return r"\.".join(octets)


# --- redirects -----------------------------------------------------------------------------------------


def check_redirect(redirect: Redirect) -> None:
    """Raises: Refused."""
    if redirect.protocol not in ("HTTP", "HTTPS", "#{protocol}"):
        raise _invalid(f"The redirect protocol '{redirect.protocol}' must be HTTP, HTTPS or #{{protocol}}")
    if redirect.port != "#{port}" and not (redirect.port.isdecimal() and 1 <= int(redirect.port) <= 65535):
        raise _invalid(f"The redirect port '{redirect.port}' must be a number from 1 to 65535 or #{{port}}")
    if not redirect.path.startswith("/") or any(redirect.path.count(f"#{{{each}}}") > 1 for each in KEYWORDS):
        raise _invalid(
            "The Path parameter must be a valid path, should start with a '/', and may contain up to one of each of "
            "these placeholders: '#{path}', '#{host}', '#{port}'."
        )
    parts = (("host", redirect.host, ("host",)), ("path", redirect.path, ("host", "path", "port")))
    for name, value, keywords in (*parts, ("query", redirect.query, KEYWORDS)):
        if len(value) > 128 or (name == "host" and not value):
            raise _invalid(f"The redirect {name} '{value}' must have 1 to 128 characters")
        bare = value
        for keyword in keywords:
            bare = bare.replace(f"#{{{keyword}}}", "")
        if "#" in bare or not bare.isascii() or not bare.isprintable() or " " in bare:
            raise _invalid(f"The redirect {name} '{value}' is not valid")


def leads_back(redirect: Redirect, protocol: str, port: int) -> bool:
    """Whether the location is that of the request itself, whatever the query: it has to differ in something else.

    Args: protocol, port: the listener's."""
    return (
        redirect.protocol in ("#{protocol}", protocol)
        and redirect.host == "#{host}"
        and redirect.port in ("#{port}", str(port))
        and redirect.path == "/#{path}"
    )
