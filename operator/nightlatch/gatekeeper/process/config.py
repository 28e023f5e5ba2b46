"""The configuration file of one gatekeeper process."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from nightlatch.routing.ir import TO_STDOUT, AuditLog
from nightlatch.routing.limits import DEFAULT_NEW_CONNECTIONS, HELD_CALL_BYTES
from nightlatch.wire.fields import Fields

GATEWAY_VARIABLE = "NIGHTLATCH_GATEWAY"
_NOT_EMPTY = re.compile(r"(?s).+")
_LOG_LEVELS = ("debug", "info", "warning", "error")
_LONGEST_STALENESS = 366 * 86400.0
_MANY = 1_000_000
# An eighth of the memory that the chart gives Envoy.
MAX_HELD_BYTES = 128 * 1024 * 1024
MAX_HELD_REQUESTS = MAX_HELD_BYTES // HELD_CALL_BYTES
_MOST_HELD_REQUESTS = 100_000
_MOST_HELD_BYTES = 2**40


class ConfigError(ValueError):
    """The file cannot be used; the message says which entry and what is expected."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen; port 0 lets the system choose."""

    host: str
    port: int


# A port that the system chooses and that nobody scrapes.
NO_METRICS = Listen("127.0.0.1", 0)


@dataclass(frozen=True, slots=True)
class Source:
    """Which implementation of a seam. directory: where its state lies, for one that keeps files.

    namespaces: those to read, for one over Kubernetes; empty for all of them.
    """

    kind: str
    directory: Path = Path()
    namespaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Config:
    """`listen` is the address of Envoy's listener; `socket` is what Envoy dials; `max_staleness` is in seconds.

    max_connections: lowers the number of callers' connections that Envoy's memory allows. new_connections: how many may
    come a second.
    max_held_requests, max_held_bytes: bounds on the calls that this gateway holds for all endpoints together. Each held
    call counts as HELD_CALL_BYTES, so the stricter of the two decides.
    """

    gateway: str
    gateway_namespace: str
    trust_domain: str
    store: Source
    workloads: Source
    socket: Path
    listen: Listen
    report: Listen
    announce: Path
    max_staleness: float
    metrics: Listen
    audit: AuditLog = TO_STDOUT
    log_level: str = "info"
    max_connections: int | None = None
    new_connections: int = DEFAULT_NEW_CONNECTIONS
    max_held_requests: int = MAX_HELD_REQUESTS
    max_held_bytes: int = MAX_HELD_BYTES


def read_config(path: Path) -> Config:
    """Read the file; a name that is not in it comes from the environment, as in a pod. Raises ConfigError."""
    try:
        members = orjson.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from None
    if isinstance(members, dict):
        members.setdefault("gateway", os.environ.get(GATEWAY_VARIABLE))
    return parse_config(members)


def parse_config(raw: Any) -> Config:
    """The configuration in a decoded file. Raises ConfigError."""
    fields = Fields(raw, "configuration", ConfigError)
    fields.default("log_level", "info")
    fields.default("max_connections", None)
    fields.default("new_connections_per_second", DEFAULT_NEW_CONNECTIONS)
    fields.default("max_held_requests", MAX_HELD_REQUESTS)
    fields.default("max_held_bytes", MAX_HELD_BYTES)
    fields.default("audit", None)
    return fields.close(
        Config(
            gateway=_text(fields, "gateway"),
            gateway_namespace=_text(fields, "gateway_namespace"),
            trust_domain=_text(fields, "trust_domain"),
            store=fields.nested("store", _source),
            workloads=fields.nested("workloads", _source),
            socket=Path(_text(fields, "socket")),
            listen=fields.nested("listen", _listen),
            report=fields.nested("report", _listen),
            announce=Path(_text(fields, "announce")),
            max_staleness=fields.seconds("max_staleness_s", _LONGEST_STALENESS),
            metrics=NO_METRICS if fields.take_if("metrics", 0) else fields.nested("metrics", _listen),
            audit=TO_STDOUT if fields.take_if("audit", None) else fields.nested("audit", _audit),
            log_level=fields.one_of("log_level", _LOG_LEVELS),
            max_connections=fields.optional("max_connections", lambda name: fields.integer(name, 1, _MANY)),
            new_connections=fields.integer("new_connections_per_second", 1, _MANY),
            max_held_requests=fields.integer("max_held_requests", 1, _MOST_HELD_REQUESTS),
            max_held_bytes=fields.integer("max_held_bytes", HELD_CALL_BYTES, _MOST_HELD_BYTES),
        )
    )


def _text(fields: Fields, name: str) -> str:
    return fields.text(name, _NOT_EMPTY, "a text that is not empty")


def _listen(fields: Fields) -> Listen:
    return fields.close(Listen(_text(fields, "host"), fields.integer("port", 0, 65535)))


def _audit(fields: Fields) -> AuditLog:
    fields.default("file", None)
    return fields.close(
        AuditLog(
            path=fields.optional("file", lambda name: _text(fields, name)),
            refusals_per_second=fields.integer("refusals_per_second", 0, 1_000_000),
            allows_percent=fields.integer("allows_percent", 0, 100),
        )
    )


def _source(fields: Fields) -> Source:
    kind = _text(fields, "kind")
    if kind != "kubernetes":
        return fields.close(Source(kind, Path(_text(fields, "directory"))))
    fields.default("namespaces", None)
    namespaces = fields.optional("namespaces", lambda name: fields.texts(name, _NOT_EMPTY, "a namespace"))
    return fields.close(Source(kind, namespaces=namespaces or ()))
