-- First filter. Is this call ours and well formed, and which credentials does it present? No secret is compared here.
local MAX_CREDENTIAL = 8192

local function strip_identity(headers)
  local found = {}
  for name, _ in pairs(headers) do
    if name:sub(1, 13) == "x-nightlatch-" and name ~= "x-nightlatch-hold-timeout" then found[#found + 1] = name end
  end
  for i = 1, #found do headers:remove(found[i]) end
end

local function detail(name, header)
  return (errors.invalid_request.details[name]:gsub("{header}", header or ""))
end

-- The value of a header that may occur once. Second result: what is wrong.
local function single(headers, name)
  local count = headers:getNumValues(name)
  if count == 0 then return nil end
  if count > 1 then return nil, detail("repeated_header", name) end
  local value = headers:get(name)
  if #value > MAX_CREDENTIAL then return nil, detail("header_too_long", name) end
  if value:find("[^\32-\126]") then return nil, detail("header_characters", name) end
  return value
end

-- A bearer token, or the kind `other` for what is none. Envoy joins repeated headers with a comma.
local function bearer(authorization)
  local scheme, token = authorization:match("^(%S+) *(.-) *$")
  if scheme == nil or scheme:lower() ~= "bearer" then return nil, "other" end
  if token:find(",", 1, true) then return nil, nil, detail("repeated_header", "authorization") end
  if token:find("^[%w%-%._~%+/]+=*$") == nil then return nil, "other" end
  if token:sub(1, 3) == "nl_" then return token, "key" end
  return token, token:find("^[^.]*%.[^.]*%.[^.]*$") and "jwt" or "opaque"
end

-- What the call presents: an API key or nil, the kinds, or what is wrong with it.
local function credentials(headers)
  local api_key, wrong = single(headers, "x-api-key")
  if wrong then return nil, nil, wrong end
  local authorization
  authorization, wrong = single(headers, "authorization")
  if wrong then return nil, nil, wrong end
  if authorization == nil then return api_key, api_key and "key" or "none" end
  local token, kind
  token, kind, wrong = bearer(authorization)
  if wrong then return nil, nil, wrong end
  if kind ~= "key" then return api_key, api_key and "key," .. kind or kind end
  if api_key ~= nil and api_key ~= token then return nil, nil, detail("keys_differ") end
  return token, "key"
end

-- Calls that no credential could help: true when answered.
local function misplaced(handle, headers)
  local info = handle:streamInfo()
  local host = (headers:get(":authority") or ""):lower()
  if info:requestedServerName() ~= host then
    reply(handle, errors.misdirected_request)
    return true
  end
  local route = info:routeName()
  if route == "" then
    reply(handle, errors.not_found)
    return true
  end
  if route == "denied" then
    reply(handle, errors[handle:metadata():get("denied")])
    return true
  end
  return false
end

function envoy_on_request(handle)
  local headers = handle:headers()
  strip_identity(headers)
  if misplaced(handle, headers) then return end
  if key_in(headers:get(":path") or "") then return reply(handle, errors.unauthenticated) end
  local key, kinds, wrong = credentials(headers)
  if wrong then return reply(handle, errors.invalid_request, wrong) end
  headers:replace("x-nightlatch-credential", kinds)
  if key ~= nil and well_formed(key) then headers:replace("x-nightlatch-key-sha256", sha256(key)) end
end
