"""The audit log: Envoy writes one line of JSON for each decision. docs/how-to/audit-log.md lists its members.

The gate picks the decisions that are written. Envoy's own rate limit for access logs crashes Envoy 1.40 when it is
configured over ADS.
"""

from typing import Any

from nightlatch.routing.ir import AuditLog
from nightlatch.routing.xds.native_module import DROPPED, METADATA
from nightlatch.routing.xds.types import EXTENSIONS

# The members that the gate gives. Those that are not known are left out.
_GATE = ("decision", "code", "rule", "client", "credential", "method", "permission", "endpoint", "sequence", DROPPED)
# No path and no header of the caller: a key may be in them.
_ENVOY = {
    "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
    "request": "%REQ(X-REQUEST-ID)%",
    "status": "%RESPONSE_CODE%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "duration_ms": "%DURATION%",
    "peer": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "host": "%REQUESTED_SERVER_NAME%",
}


def access_log(audit: AuditLog) -> list[dict[str, Any]]:
    """The connection manager's access log."""
    return _log(audit, _ENVOY | _noted(*_GATE))


def connection_log(audit: AuditLog) -> list[dict[str, Any]]:
    """The listener's access log: connections that are closed before there is a call."""
    return _log(audit, {name: _ENVOY[name] for name in ("time", "peer")} | _noted("decision", "details", DROPPED))


def _noted(*names: str) -> dict[str, str]:
    return {name: f"%DYNAMIC_METADATA({METADATA}:{name})%" for name in names}


def _log(audit: AuditLog, members: dict[str, str]) -> list[dict[str, Any]]:
    config: dict[str, Any] = {"log_format": {"json_format": members, "omit_empty_values": True}}
    if audit.path is None:
        name, kind = "stdout", {"@type": EXTENSIONS + "access_loggers.stream.v3.StdoutAccessLog"}
    else:
        name, kind = "file", {"@type": EXTENSIONS + "access_loggers.file.v3.FileAccessLog", "path": audit.path}
    matcher = {"filter": METADATA, "path": [{"key": DROPPED}], "value": {"present_match": True}}
    picked = {"metadata_filter": {"matcher": matcher, "match_if_key_not_found": False}}
    return [{"name": f"envoy.access_loggers.{name}", "filter": picked, "typed_config": {**kind, **config}}]
