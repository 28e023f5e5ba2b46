"""The audit log: Envoy writes one line of JSON for each decision. docs/how-to/audit-log.md lists its members.

The gate picks the decisions that are written. Envoy's own rate limit for access logs crashes Envoy 1.40 when it is
configured over ADS.
"""

from typing import Any

from nightlatch.routing.ir import AuditLog
from nightlatch.routing.xds.native_module import DROPPED, METADATA
from nightlatch.routing.xds.types import EXTENSIONS

# The members that the gate gives. Those that are not known are left out.
_GATE = (
    *("decision", "code", "rule", "client", "credential", "method", "permission", "beside", "endpoint", "sequence"),
    DROPPED,
)
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


# What Envoy says of a handshake that ended because of the caller's certificate: its chain does not verify, or its key
# may not sign.
_BAD_CERTIFICATE = "CERTIFICATE_VERIFY_FAILED|KEY_USAGE_BIT_INCORRECT"


def connection_log(audit: AuditLog) -> list[dict[str, Any]]:
    """The listener's access log: connections that are closed before there is a call.

    The lines about certificates are not among those that the gate bounds; there are at most as many as connections may
    begin.
    """
    closed = _log(audit, {name: _ENVOY[name] for name in ("time", "peer")} | _noted("decision", "details", DROPPED))
    if audit.refusals_per_second == 0:
        return closed
    told = {"decision": "deny", "code": "certificate_refused", "details": "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%"}
    picked = {
        "extension_filter": {
            "name": "envoy.access_loggers.extension_filters.cel",
            "typed_config": {
                "@type": EXTENSIONS + "access_loggers.filters.cel.v3.ExpressionFilter",
                "expression": "has(connection.transport_failure_reason) && "
                f"connection.transport_failure_reason.matches('{_BAD_CERTIFICATE}')",
            },
        }
    }
    return [*closed, *_log(audit, {name: _ENVOY[name] for name in ("time", "peer", "host")} | told, picked)]


def _noted(*names: str) -> dict[str, str]:
    return {name: f"%DYNAMIC_METADATA({METADATA}:{name})%" for name in names}


def _log(audit: AuditLog, members: dict[str, str], picked: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    config: dict[str, Any] = {"log_format": {"json_format": members, "omit_empty_values": True}}
    if audit.path is None:
        name, kind = "stdout", {"@type": EXTENSIONS + "access_loggers.stream.v3.StdoutAccessLog"}
    else:
        name, kind = "file", {"@type": EXTENSIONS + "access_loggers.file.v3.FileAccessLog", "path": audit.path}
    if picked is None:
        matcher = {"filter": METADATA, "path": [{"key": DROPPED}], "value": {"present_match": True}}
        picked = {"metadata_filter": {"matcher": matcher, "match_if_key_not_found": False}}
    return [{"name": f"envoy.access_loggers.{name}", "filter": picked, "typed_config": {**kind, **config}}]
