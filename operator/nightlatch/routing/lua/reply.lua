-- reply(handle, status, code, message, headers): the local reply's code goes into metadata, its body is the message;
-- Envoy's local_reply_config shapes both for the path's API.
local function reply(handle, status, code, message, headers)
  handle:streamInfo():dynamicMetadata():set("nightlatch.reply", "code", code)
  headers = headers or {}
  headers[":status"] = status
  handle:respond(headers, message)
end

-- One answer for all causes, so that it tells a stranger nothing.
local function unauthenticated(handle)
  reply(handle, "401", "unauthenticated", "A valid credential is required.",
    {["www-authenticate"] = 'Bearer realm="nightlatch"'})
end
