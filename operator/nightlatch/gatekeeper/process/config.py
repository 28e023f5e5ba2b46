"""The configuration file of one gatekeeper process."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

GATEWAY_VARIABLE = "NIGHTLATCH_GATEWAY"


class ConfigError(ValueError):
    """The file cannot be used; the message says which entry and what is expected."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen; port 0 lets the system choose."""

    host: str
    port: int


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
    """See the module. `listen` is Envoy's; `socket` is what Envoy dials; `max_staleness` is in seconds."""

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


def read_config(path: Path) -> Config:
    """Read the file; a name that is not in it comes from the environment, as in a pod. Raises ConfigError."""
    try:
        return parse_config({"gateway": os.environ.get(GATEWAY_VARIABLE)} | orjson.loads(path.read_bytes()))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from None


def parse_config(raw: Any) -> Config:
    """The configuration in a decoded file. Raises ConfigError."""
    metrics = _entry(raw, "metrics")
    return Config(
        gateway=_text(raw, "gateway"),
        gateway_namespace=_text(raw, "gateway_namespace"),
        trust_domain=_text(raw, "trust_domain"),
        store=_source(raw, "store"),
        workloads=_source(raw, "workloads"),
        socket=Path(_text(raw, "socket")),
        listen=_listen(_entry(raw, "listen"), "listen"),
        report=_listen(_entry(raw, "report"), "report"),
        announce=Path(_text(raw, "announce")),
        max_staleness=_number(raw, "max_staleness_s"),
        metrics=Listen("127.0.0.1", 0) if metrics == 0 else _listen(metrics, "metrics"),
    )


def _entry(raw: Any, name: str) -> Any:
    if not isinstance(raw, dict) or name not in raw:
        raise ConfigError(f"{name} is missing from the configuration")
    return raw[name]


def _text(raw: Any, name: str, where: str = "") -> str:
    value = _entry(raw, name)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{where}{name} must be a text that is not empty")
    return value


def _number(raw: Any, name: str) -> float:
    value = _entry(raw, name)
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise ConfigError(f"{name} must be a number above zero")
    return float(value)


def _listen(raw: Any, where: str) -> Listen:
    port = _entry(raw, "port")
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise ConfigError(f"{where}.port must be a port number")
    return Listen(_text(raw, "host", f"{where}."), port)


def _source(raw: Any, name: str) -> Source:
    source = _entry(raw, name)
    kind = _text(source, "kind", f"{name}.")
    if kind != "kubernetes":
        return Source(kind, Path(_text(source, "directory", f"{name}.")))
    namespaces = source.get("namespaces") or []
    if not all(isinstance(namespace, str) for namespace in namespaces):
        raise ConfigError(f"{name}.namespaces must be a list of names")
    return Source(kind, namespaces=tuple(namespaces))
