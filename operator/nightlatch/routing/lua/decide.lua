-- Last authenticator. From what the look-ups left behind: who calls, and with what permissions; else 401.
-- A grant is client|keyId|permissions|tier|notBefore|notAfter, times in Unix seconds, empty for none.
local GRANT = "^([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)$"
local CREDENTIALS = {
  "authorization", "x-api-key", "cookie", "proxy-authorization", "x-nightlatch-credential", "x-nightlatch-key-sha256",
}

local function in_force(handle, not_before, not_after)
  if not_before == "" and not_after == "" then return true end
  local now = tonumber(handle:timestamp()) / 1000
  return (not_before == "" or now >= tonumber(not_before)) and (not_after == "" or now < tonumber(not_after))
end

local function listed(text)
  local list = {}
  for item in text:gmatch("[^,]+") do list[#list + 1] = item end
  return list
end

local function grant_of(metadata)
  local found = metadata:get("envoy.filters.http.rbac")
  return found and found["shadow_effective_policy_id"] or "none"
end

local function admit(headers, metadata, client, key_id, permissions, tier)
  metadata:set("nightlatch.caller", "client", client)
  metadata:set("nightlatch.caller", "key_id", key_id)
  metadata:set("nightlatch.caller", "permissions", listed(permissions))
  if tier ~= "" then metadata:set("nightlatch.caller", "tier", tier) end
  for i = 1, #CREDENTIALS do headers:remove(CREDENTIALS[i]) end
  headers:replace("x-nightlatch-client", client)
  headers:replace("x-nightlatch-permissions", permissions)
  headers:replace("x-nightlatch-method", "apiKey")
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local metadata = handle:streamInfo():dynamicMetadata()
  -- A second credential that nobody verified has failed, also beside a good one.
  if headers:get("x-nightlatch-credential") ~= "key" then return reply(handle, errors.unauthenticated) end
  local client, key_id, permissions, tier, not_before, not_after = grant_of(metadata):match(GRANT)
  if client == nil or not in_force(handle, not_before, not_after) then return reply(handle, errors.unauthenticated) end
  admit(headers, metadata, client, key_id, permissions, tier)
end
