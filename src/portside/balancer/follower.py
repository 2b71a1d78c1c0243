"""The script by which a load balancer's cookie follows one of the application's, for Envoy's Lua filter.

A request without the application's cookie is not led anywhere by the load balancer's. An answer that sets the
application's cookie sets the load balancer's, too, with the same lifetime or one of its own; so does one that had to
come from another target. No other answer does.

Envoy serves nobody else on the same thread while a script runs, and a cookie may be as long as all headers may be: what
goes through one takes time in proportion to its length. No pattern has two repetitions that could share its characters.
"""

from typing import Final


def follower(own: str, application: str, lasting_s: int | None = None) -> str:
    """Args: lasting_s: the lifetime of the load balancer's cookie; None: that of the application's."""
    lasting = "" if lasting_s is None else str(lasting_s)
    return _FOLLOWER.replace("$OWN", own).replace("$APPLICATION", application).replace("$LASTING", lasting)


_FOLLOWER: Final = r"""
local OWN, APPLICATION, LASTING = "$OWN", "$APPLICATION", "$LASTING"

local function trimmed(text)
  local first, last = text:find("%S"), #text
  if first == nil then return "" end
  while text:find("^%s", last) do last = last - 1 end
  return text:sub(first, last)
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local line = headers:get("cookie")
  if line == nil then return end
  local held, found, others = nil, false, {}
  for pair in line:gmatch("[^;]+") do
    local whole = trimmed(pair)
    local equals = whole:find("=", 1, true)
    local name = equals and whole:sub(1, equals - 1)
    if name == OWN then
      held = whole:sub(equals + 1)
    else
      found = found or name == APPLICATION
      others[#others + 1] = whole
    end
  end
  if held == nil then return end
  if found then
    handle:streamInfo():dynamicMetadata():set("portside.follower", "held", held)
  elseif #others > 0 then
    headers:replace("cookie", table.concat(others, "; "))
  else
    headers:remove("cookie")
  end
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local own, application, others = nil, nil, {}
  for index = 0, headers:getNumValues("set-cookie") - 1 do
    local line = headers:getAtIndex("set-cookie", index)
    local name = line:match("^%s*([^=;]*)")
    if name == OWN then
      own = line:match("=([^;]*)")
    else
      if name == APPLICATION then application = line end
      others[#others + 1] = line
    end
  end
  if own == nil and application == nil then return end
  local known = handle:streamInfo():dynamicMetadata():get("portside.follower")
  local held = known and known["held"]
  headers:remove("set-cookie")
  for _, line in ipairs(others) do headers:add("set-cookie", line) end
  own = own or held
  if own == nil or (application == nil and held == nil) then return end
  local made = OWN .. "=" .. own .. "; Path=/"
  if LASTING ~= "" then
    made = made .. "; Max-Age=" .. LASTING
  else
    for attribute in (application or ""):gmatch(";%s*([^;]+)") do
      local name = attribute:match("^([^=]*)"):lower()
      if name == "max-age" or name == "expires" then made = made .. "; " .. attribute end
    end
  end
  headers:add("set-cookie", made)
end
"""
