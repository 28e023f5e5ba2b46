"""The command line."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nightlatch_server import __version__
from nightlatch_server.transport.http.tls import TlsFiles


@dataclass(frozen=True, slots=True)
class Options:
    """Times are in seconds; `tls` and `admit` are None with --insecure-plain only."""

    model_dir: Path
    model_name: str | None
    expect_digest: str | None
    host: str
    port: int
    admin_host: str
    admin_port: int
    tls: TlsFiles | None
    admit: str | None
    announce: Path | None
    termination_message: Path | None
    device: str
    threads: int | None
    max_body: int
    max_queue: int
    request_timeout: float
    drain_delay: float
    drain_timeout: float
    log_level: str
    access_log: Path | None
    log_headers: bool


def parse(arguments: Sequence[str]) -> Options:
    """The options; on a mistake a message on standard error and SystemExit(2)."""
    parser = _parser()
    found = vars(parser.parse_args(arguments))
    plain = found.pop("insecure_plain")
    paths = [found.pop(key) for key in ("tls_cert", "tls_key", "tls_ca")]
    if plain and (any(paths) or found["admit"]):
        parser.error("--insecure-plain excludes --tls-cert, --tls-key, --tls-ca and --admit")
    if not plain and not (all(paths) and found["admit"]):
        parser.error("--tls-cert, --tls-key, --tls-ca and --admit are needed (or --insecure-plain, on loopback only)")
    return Options(tls=None if plain else TlsFiles(*paths), **found)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m nightlatch_server",
        description="Serve one model package over Open Inference Protocol v2 and OpenAI's API. "
        "Exit status: 0 ended when asked to, 2 bad options, 3 package refused, 4 the model could not be loaded.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"nightlatch_server {__version__}")
    _model_options(parser.add_argument_group("model"))
    _address_options(parser.add_argument_group("addresses"))
    _tls_options(parser.add_argument_group("who may connect"))
    _limit_options(parser.add_argument_group("limits and ending"))
    _log_options(parser.add_argument_group("logs"))
    return parser


def _model_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--model-dir", type=Path, required=True, help="the model package: a directory with model.json")
    group.add_argument("--model-name", type=_name, help="what callers call the model; default: the package's own name")
    group.add_argument("--expect-digest", type=_digest, help="sha256:… of model.json; any other package is refused")
    group.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="default: %(default)s")
    group.add_argument(
        "--threads", type=_count, help="threads of one operator; default: whole CPUs of the cgroup quota"
    )


def _address_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--host", default="127.0.0.1", help="of the serving port; default: %(default)s")
    group.add_argument("--port", type=_port, default=8443, help="0 takes a free one; default: %(default)s")
    group.add_argument("--admin-host", help="default: the same as --host")
    group.add_argument(
        "--admin-port", type=_port, default=8081, help="plain HTTP: /healthz /readyz /metrics; default: %(default)s"
    )
    group.add_argument(
        "--announce", type=Path, help="write {port, admin_port, pid} to this file once both ports accept"
    )


def _tls_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--tls-cert", type=Path, help="PEM certificate chain; read again when it changes, as the next two are"
    )
    group.add_argument("--tls-key", type=Path, help="its PEM key")
    group.add_argument("--tls-ca", type=Path, help="PEM CA of the clients' certificates")
    group.add_argument("--admit", type=_identity, help="the one SPIFFE id whose certificate may connect")
    group.add_argument("--insecure-plain", action="store_true", help="no TLS and no client identity; for loopback only")


def _limit_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--max-body", type=_count, default=32 << 20, help="bytes of one request; default: %(default)s")
    group.add_argument(
        "--max-queue", type=_count, default=1024, help="requests that may wait, then 429; default: %(default)s"
    )
    group.add_argument(
        "--request-timeout", type=_seconds, default=60.0, help="after which a queued request is not started"
    )
    group.add_argument(
        "--drain-delay", type=_seconds, default=5.0, help="after SIGTERM: not ready, but still accepting"
    )
    group.add_argument("--drain-timeout", type=_seconds, default=30.0, help="after that: to finish what is in progress")


def _log_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--log-level", choices=["debug", "info", "warning", "error"], default="info")
    group.add_argument("--access-log", type=Path, help="a JSON line for each request goes to this file")
    group.add_argument(
        "--log-headers",
        action="store_true",
        help="for tests: all headers of each request in the access log, to prove that no caller's credential arrives",
    )
    group.add_argument("--termination-message", type=Path, help="why the model could not be loaded goes to this file")


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError("a port is from 0 to 65535")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError("seconds, 0 or more")
    return value


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", text):
        raise argparse.ArgumentTypeError("1 to 128 letters, digits, '.', '_' or '-'")
    return text


def _digest(text: str) -> str:
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", text):
        raise argparse.ArgumentTypeError("sha256: and 64 lower-case hex digits")
    return text


def _identity(text: str) -> str:
    if not re.fullmatch(r"spiffe://[^\s/]+/\S+", text):
        raise argparse.ArgumentTypeError("a SPIFFE id: spiffe://TRUST-DOMAIN/PATH")
    return text
