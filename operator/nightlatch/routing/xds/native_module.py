"""What Envoy is told about the native module `nightlatch_gate`: its filters' configuration, and an endpoint's policy.

Messages of Envoy 1.40 that xds-protos 1.85 lacks are declared here and nowhere else: as a TypedStruct, or by the
number of the field that is missing.
"""

from typing import Any

import orjson
from envoy.config.core.v3 import extension_pb2
from envoy.extensions.filters.http.dynamic_modules.v3 import dynamic_modules_pb2
from google.protobuf import any_pb2, wrappers_pb2

from nightlatch.routing.filter_order import GATE
from nightlatch.routing.ir import AuditLog, GateIR
from nightlatch.routing.mechanisms import jwt
from nightlatch.routing.policy import FORMAT
from nightlatch.routing.xds.error_info import GRPC_DETAILS, grpc_headers
from nightlatch.routing.xds.types import ADS, EXTENSIONS, FALLBACK_SECRET, pack
from nightlatch.wire import caller_errors
from nightlatch.wire.error_body import CallerError

MODULE = "nightlatch_gate"
# The metadata that the gate writes about a decision: under this name, with these members.
METADATA = "nightlatch.gate"
CODE = "code"
# Present if the audit log is to have the decision.
DROPPED = "dropped"
# Where the certificate of a connection is noted.
_CERTIFICATE = "nightlatch.certificate"
# The realm of `www_authenticate` in caller_errors.yaml.
_REALM = "nightlatch"
# The module stays loaded: calls of an older configuration may still be under way.
_MODULE = {"name": MODULE, "do_not_close": True}

# What the gate answers by itself, by the name that it uses, and which detail of the error it says.
_ERRORS: tuple[tuple[CallerError, str | None], ...] = (
    (caller_errors.MISDIRECTED_REQUEST, None),
    (caller_errors.NOT_FOUND, None),
    (caller_errors.INVALID_REQUEST, "repeated_credential"),
    (caller_errors.INVALID_REQUEST, "unreadable_credential"),
    (caller_errors.INVALID_REQUEST, "conflicting_credentials"),
    (caller_errors.UNAUTHENTICATED, None),
    (caller_errors.INSUFFICIENT_SCOPE, None),
    (caller_errors.RATE_LIMITED, None),
    (caller_errors.POLICY_INVALID, None),
    (caller_errors.POLICY_STALE, None),
    (caller_errors.VERIFICATION_UNAVAILABLE, None),
)
# What Envoy answers itself to a call that reached no model server: one error for each status.
_ENVOYS_OWN = (
    caller_errors.INVALID_REQUEST,
    caller_errors.UNAUTHENTICATED,
    caller_errors.INSUFFICIENT_SCOPE,
    caller_errors.NOT_FOUND,
    caller_errors.REQUEST_TIMEOUT,
    caller_errors.PAYLOAD_TOO_LARGE,
    caller_errors.HTTP_VERSION,
    caller_errors.TOO_MANY_IN_FLIGHT,
    caller_errors.HEADERS_TOO_LARGE,
    caller_errors.OVERLOADED,
)
# What answers for a code of a denial that the table does not have.
_DENIED = "denied"


def build_gate(gate: GateIR, audit: AuditLog) -> extension_pb2.TypedExtensionConfig:
    """The configuration of the filter `gate`."""
    config = dynamic_modules_pb2.DynamicModuleFilter(filter_name="gate", filter_config=_text(gate_value(gate, audit)))
    config.dynamic_module_config.name = MODULE
    config.dynamic_module_config.do_not_close = True
    return extension_pb2.TypedExtensionConfig(name=GATE, typed_config=pack(config))


def gate_value(gate: GateIR, audit: AuditLog) -> bytes:
    """What the gate knows beside the endpoints' policies, and the table of errors. `gate/src/config.rs` reads it."""
    value: dict[str, Any] = {
        "format": FORMAT,
        "realm": _REALM,
        "errors": errors(),
        "revoked": {
            "clients": gate.revoked_clients,
            "keys": gate.revoked_keys,
            "certificates": gate.revoked_certificates,
            "identities": gate.revoked_identities,
            "tokens": {each.issuer: jwt.denied_value(each) for each in gate.denied_tokens},
        },
        "audit": _amount(audit),
        "envoyCodes": _envoy_codes(),
        "issuers": [jwt.issuer_value(each) for each in gate.issuers],
    }
    if gate.valid_until is not None:
        value["validUntil"] = gate.valid_until
    return orjson.dumps(value)


def watch(audit: AuditLog) -> dict[str, Any]:
    """The filter of a chain without a gate: it tells the audit log what Envoy answers there."""
    value = {"format": FORMAT, "audit": _amount(audit), "envoyCodes": _envoy_codes()}
    config = {
        "@type": EXTENSIONS + "filters.http.dynamic_modules.v3.DynamicModuleFilter",
        "dynamic_module_config": _MODULE,
        "filter_name": "watch",
        "filter_config": {
            "@type": "type.googleapis.com/google.protobuf.StringValue",
            "value": orjson.dumps(value).decode(),
        },
    }
    return {"name": "nightlatch.watch", "typed_config": config}


def _amount(audit: AuditLog) -> dict[str, int]:
    return {
        "refusalsPerSecond": audit.refusals_per_second,
        "allowsPerMillion": audit.allows_percent * 10_000,
    }


def _envoy_codes() -> dict[str, str]:
    """The codes of what Envoy answers itself, for the audit log."""
    codes = {str(error.status): error.code for error in _ENVOYS_OWN}
    # gRPC has no status for each of them, but details that tell them apart; among them a hold that is not there.
    own = (*_ENVOYS_OWN, caller_errors.UNAVAILABLE)
    grpc = {f"grpc-{grpc_headers(each, each.sentence)[GRPC_DETAILS]}": each.code for each in own}
    return {**codes, **grpc, "hold": caller_errors.UNAVAILABLE.code, "*": caller_errors.REQUEST_FAILED.code}


def build_policy(value: bytes) -> any_pb2.Any:
    """An endpoint's policy, as the gate's configuration of its virtual host. It still needs a name: `named_policy`."""
    message = dynamic_modules_pb2.DynamicModuleFilterPerRoute(filter_config=_text(value))
    message.dynamic_module_config.name = MODULE
    message.dynamic_module_config.do_not_close = True
    return pack(message)


def named_policy(policy: any_pb2.Any, *, held: bool) -> any_pb2.Any:
    """The policy with the name that says whether its calls are held. The hold needs more of the gate, which costs."""
    name = b"held-policy" if held else b"policy"
    # Field 4, `filter_name`.
    return any_pb2.Any(type_url=policy.type_url, value=policy.value + bytes([4 << 3 | 2, len(name)]) + name)


def hello(audit: AuditLog) -> dict[str, Any]:
    """The listener filter that closes a connection whose ClientHello has a server name that is not in lower case."""
    value = orjson.dumps({"format": FORMAT, "audit": _amount(audit)}).decode()
    config = {
        "dynamic_module_config": _MODULE,
        "filter_name": "hello",
        "filter_config": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": value},
    }
    kind = "filters.listener.dynamic_modules.v3.DynamicModuleListenerFilter"
    return {"name": "nightlatch.hello", "typed_config": _typed_struct(kind, config)}


def report() -> dict[str, Any]:
    """The HTTP filter that answers every request with what the gate knows of its calls and keys."""
    config = {
        "@type": EXTENSIONS + "filters.http.dynamic_modules.v3.DynamicModuleFilter",
        "dynamic_module_config": _MODULE,
        "filter_name": "report",
    }
    return {"name": "nightlatch.report", "typed_config": config}


def certificate() -> dict[str, Any]:
    """The network filter that notes the caller's certificate for the gate: as the connection's own state, once for all
    of its calls. `gate/src/mechanisms/mtls.rs` reads it.

    All names are noted, with commas between several: the attributes that a filter can ask for show the first alone.
    """
    validity, names = "%DOWNSTREAM_PEER_CERT_V_END(%s)%", "%DOWNSTREAM_PEER_URI_SAN%\n%DOWNSTREAM_PEER_DNS_SAN%"
    noted = {
        "object_key": _CERTIFICATE,
        "factory_key": "envoy.string",
        "format_string": {
            "text_format_source": {"inline_string": f"{validity} %DOWNSTREAM_PEER_FINGERPRINT_256%\n{names}"},
            "omit_empty_values": True,
        },
    }
    kind = "filters.network.set_filter_state.v3.Config"
    config = _typed_struct(kind, {"on_downstream_tls_handshake": [noted]})
    return {"name": "nightlatch.certificate", "typed_config": config}


def canonical_host() -> dict[str, Any]:
    """The early mutation that brings a host into the form that chooses its route: lower case, no dot at the end."""
    config = {"dynamic_module_config": _MODULE, "early_header_mutation_name": "host"}
    kind = "http.early_header_mutation.dynamic_modules.v3.DynamicModuleEarlyHeaderMutation"
    return {"name": "nightlatch.host", "typed_config": _typed_struct(kind, config)}


def certificate_on_demand() -> dict[str, Any]:
    """The SDS secret with the name of the SNI."""
    tls = EXTENSIONS + "transport_sockets.tls."
    mapper = {
        "name": "envoy.tls.certificate_mappers.sni",
        "typed_config": {"@type": tls + "cert_mappers.sni.v3.SNI", "default_value": FALLBACK_SECRET},
    }
    config = {"config_source": ADS, "certificate_mapper": mapper}
    return {
        "name": "envoy.tls.certificate_selectors.on_demand_secret",
        "typed_config": _typed_struct("transport_sockets.tls.cert_selectors.on_demand_secret.v3.Config", config),
    }


def _typed_struct(kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/xds.type.v3.TypedStruct", "type_url": EXTENSIONS + kind, "value": value}


def _text(value: bytes) -> any_pb2.Any:
    return pack(wrappers_pb2.StringValue(value=value.decode()))


def errors() -> dict[str, dict[str, Any]]:
    """The table of what the gate answers by itself."""
    entries = {detail or error.code: _entry(error, detail) for error, detail in _ERRORS}
    return {**entries, _DENIED: _entry(caller_errors.POLICY_INVALID, None)}


def _entry(error: CallerError, detail: str | None) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "status": error.status,
        "code": error.code,
        "message": error.say(detail),
        "grpc": error.grpc_status,
    }
    if error.retry_after is not None:
        entry["retryAfter"] = error.retry_after
    if detail is None:
        entry["grpcDetails"] = grpc_headers(error, error.sentence)[GRPC_DETAILS]
    return entry
