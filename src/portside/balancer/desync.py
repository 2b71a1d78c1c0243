"""Requests that servers may take for others (HTTP desync), as the mitigation modes of load balancers treat them.

Envoy's parser refuses in every mode what can not be read in one way. What it lets through and is not as RFC 7230 has it
is classified here, by the names that AWS's library has for it: an odd request is looked at by a script of Envoy's Lua
filter, any other costs a few comparisons of routes. A strict load balancer has all its requests looked at.

Source: Application Load Balancer guide, "Desync mitigation mode"; https://github.com/aws/http-desync-guardian, docs.
"""

from collections.abc import Iterable
from typing import Any, Final, Literal

DesyncMode = Literal["monitor", "defensive", "strictest"]
MODE: Final = "routing.http.desync_mitigation_mode"
METADATA: Final = "portside.desync"
_LOOKED: Final = "portside.looked"
"""The metadata of a request that the script has seen."""
CHUNKED: Final = "x-portside-chunked"
"""Transfer-Encoding, which Envoy takes away before any filter; targets do not see it."""
_TYPE: Final = "type.googleapis.com/envoy."

_DISGUISES: Final = tuple(
    f"{first}{between}{second}"
    for first, second in (("transfer", "encoding"), ("content", "length"))
    for between in ("_", ".", "")
)
"""Names of headers that some servers take for others."""

INLINE: Final = (CHUNKED, *_DISGUISES)
"""Headers that each request is asked for: found at once if they are told to Envoy."""


def strictest(modes: set[str]) -> DesyncMode:
    """Of load balancers that share a place."""
    return "strictest" if "strictest" in modes else "monitor" if modes == {"monitor"} else "defensive"


def http_filter(mode: DesyncMode) -> dict[str, Any]:
    """The filter, before any other. But in the strictest mode it is there only where a route has it."""
    return {
        "name": METADATA,
        "typed_config": {
            "@type": f"{_TYPE}extensions.filters.http.lua.v3.Lua",
            "default_source_code": {"inline_string": _script(mode)},
        },
        "disabled": mode != "strictest",
    }


def routes(idle: Iterable[str]) -> list[dict[str, Any]]:
    """Before those of a host: odd requests take one of them, and the script has their route chosen again.

    Args:
        idle: filters that are not there but where a route has them. A request's filters are those of its first route.
    """
    there = {"@type": f"{_TYPE}config.route.v3.FilterConfig", "config": {}}
    looked = {"filter": _LOOKED, "path": [{"key": "at"}], "value": {"present_match": True}, "invert": True}
    return [
        {
            "match": {"prefix": "/", "headers": headers, "dynamic_metadata": [looked]},
            "direct_response": {"status": 400},
            "typed_per_filter_config": dict.fromkeys((METADATA, *idle), there),
        }
        for headers in _odd()
    ]


def _odd() -> list[list[dict[str, Any]]]:
    """What is seldom there comes first: most requests are compared with no more."""
    without_body = {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}}
    return [
        *([_has(name), without_body] for name in ("content-length", CHUNKED)),
        *([_has(name)] for name in _DISGUISES),
        [{"name": ":authority", "string_match": {"contains": ","}}],
    ]


def _has(header: str) -> dict[str, Any]:
    return {"name": header, "present_match": True}


def _script(mode: DesyncMode) -> str:
    filled = _SCRIPT.replace("$MODE", mode).replace("$METADATA", METADATA)
    return filled.replace("$LOOKED", _LOOKED).replace("$CHUNKED", CHUNKED)


_SCRIPT: Final = r"""
local MODE = "$MODE"
local PAGE = "<html>\r\n<head><title>400 Bad Request</title></head>\r\n<body>\r\n" ..
  "<center><h1>400 Bad Request</h1></center>\r\n</body>\r\n</html>\r\n"

local function classified(headers)
  -- several Host headers, which Envoy joins: rules would go by another name than targets do
  if (headers:get(":authority") or ""):find(",", 1, true) then return "Severe", "BadHeader" end
  local method, found, why, disguised = headers:get(":method"), nil, nil, false
  -- to its end: headers can not be changed while somebody goes through them
  for name, value in pairs(headers) do
    if name ~= "content-length" then
      local letters = name:gsub("[^a-z]", "")
      disguised = disguised or letters == "transferencoding" or letters == "contentlength"
      if value:find("[\128-\255]") then found, why = "Acceptable", "NonCompliantHeader" end
    end
  end
  if disguised then return "Ambiguous", "SuspiciousHeader" end
  if method == "GET" or method == "HEAD" then
    local length = headers:get("content-length")
    if headers:get("$CHUNKED") then return "Ambiguous", "UndefinedTransferEncodingSemantics" end
    if length and length:find("[1-9]") then return "Ambiguous", "UndefinedContentLengthSemantics" end
    if length then return "Acceptable", "GetHeadZeroContentLength" end
  end
  return found, why
end

function envoy_on_request(handle)
  local info, headers = handle:streamInfo(), handle:headers()
  info:dynamicMetadata():set("$LOOKED", "at", true)
  handle:clearRouteCache()
  if info:protocol() == "HTTP/2" then return end
  local class, why = classified(headers)
  if class == nil then return end
  info:dynamicMetadata():set("$METADATA", "classification", class)
  info:dynamicMetadata():set("$METADATA", "reason", why)
  if MODE == "strictest" or class == "Severe" then
    info:drainConnectionUponCompletion()
    handle:respond({[":status"] = "400", ["content-type"] = "text/html", ["server"] = "awselb/2.0"}, PAGE)
  elseif MODE == "defensive" and class == "Ambiguous" then
    info:drainConnectionUponCompletion()
    headers:replace("connection", "close")
  end
end
"""
