"""Requests that servers may take for others (HTTP desync), as the mitigation modes of load balancers treat them.

Envoy's parser refuses in every mode what can not be read in one way. What it lets through and is not as RFC 7230 has it
is classified here, by the names that AWS's library has for it: an odd request is looked at by a script of Envoy's Lua
filter, any other costs a few comparisons. A strict load balancer has all its requests looked at.

Source: Application Load Balancer guide, "Desync mitigation mode"; https://github.com/aws/http-desync-guardian, docs.
"""

from typing import Any, Final, Literal

DesyncMode = Literal["monitor", "defensive", "strictest"]
MODE: Final = "routing.http.desync_mitigation_mode"
METADATA: Final = "portside.desync"
CHUNKED: Final = "x-portside-chunked"
"""Transfer-Encoding, which Envoy takes away before any filter; targets do not see it."""
_TYPE: Final = "type.googleapis.com/envoy."

_DISGUISES: Final = tuple(
    f"{first}{between}{second}"
    for first, second in (("transfer", "encoding"), ("content", "length"))
    for between in ("_", ".", "")
)
"""Names of headers that some servers take for others."""


def strictest(modes: set[str]) -> DesyncMode:
    """Of load balancers that share a place."""
    return "strictest" if "strictest" in modes else "monitor" if modes == {"monitor"} else "defensive"


def http_filter(mode: DesyncMode) -> dict[str, Any]:
    """The filter, before any other."""
    lua = {
        "name": "envoy.filters.http.lua",
        "typed_config": {
            "@type": f"{_TYPE}extensions.filters.http.lua.v3.Lua",
            "default_source_code": {"inline_string": _script(mode)},
        },
    }
    if mode == "strictest":
        return {**lua, "name": METADATA}
    return {
        "name": METADATA,
        "typed_config": {
            "@type": f"{_TYPE}extensions.common.matching.v3.ExtensionWithMatcher",
            "extension_config": lua,
            "xds_matcher": {
                "matcher_list": {
                    "matchers": [
                        {
                            "predicate": {"not_matcher": {"or_matcher": {"predicate": _odd()}}},
                            "on_match": {
                                "action": {
                                    "name": "skip",
                                    "typed_config": {
                                        "@type": f"{_TYPE}extensions.filters.common.matcher.action.v3.SkipFilter"
                                    },
                                }
                            },
                        }
                    ]
                }
            },
        },
    }


def _odd() -> list[dict[str, Any]]:
    """What is seldom there comes first: most requests are compared with no more."""
    bodies = [_has("content-length"), _has(CHUNKED)]
    methods = [_has(":method", {"exact": "GET"}), _has(":method", {"exact": "HEAD"})]
    return [
        {"and_matcher": {"predicate": [{"or_matcher": {"predicate": each}} for each in (bodies, methods)]}},
        *(_has(name) for name in _DISGUISES),
        _has(":authority", {"contains": ","}),
    ]


def _has(header: str, value: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "single_predicate": {
            "input": {
                "name": header,
                "typed_config": {"@type": f"{_TYPE}type.matcher.v3.HttpRequestHeaderMatchInput", "header_name": header},
            },
            "value_match": value or {"safe_regex": {"google_re2": {}, "regex": ".*"}},
        }
    }


def _script(mode: DesyncMode) -> str:
    return _SCRIPT.replace("$MODE", mode).replace("$METADATA", METADATA).replace("$CHUNKED", CHUNKED)


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
