-- reply(handle, row, sentence): `row` is an entry of the table `errors`, which lua_source.py puts before this file. The
-- code goes into metadata and the sentence (the row's own, unless one is given) is the body of the local reply; Envoy's
-- local_reply_config gives both the shape of the path's API.
local function reply(handle, row, sentence)
  handle:streamInfo():dynamicMetadata():set("nightlatch.reply", "code", row.code)
  local headers = {[":status"] = row.status, ["www-authenticate"] = row.www_authenticate}
  if (handle:headers():get("content-type") or ""):sub(1, 16) == "application/grpc" then
    headers["grpc-status"] = row.grpc_status
    -- The details hold the row's own sentence, and clients refuse details that differ from grpc-message.
    if sentence == nil then headers["grpc-status-details-bin"] = row.grpc_details end
  end
  handle:respond(headers, sentence or row.sentence)
end
