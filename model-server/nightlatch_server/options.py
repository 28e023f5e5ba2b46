"""The command-line options of `python -m nightlatch_server`."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nightlatch_server import __version__
from nightlatch_server.transport.http.tls import TlsFiles


@dataclass(frozen=True, slots=True)
class Options:
    """Times are in seconds. `tls` and `admit` are None only with --insecure-plain."""

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
    """Parse the command line. A mistake prints a message to standard error and raises SystemExit(2)."""
    parser = _parser()
    found = vars(parser.parse_args(arguments))
    plain = found.pop("insecure_plain")
    paths = [found.pop(key) for key in ("tls_cert", "tls_key", "tls_ca")]
    if plain and (any(paths) or found["admit"]):
        parser.error("--insecure-plain excludes --tls-cert, --tls-key, --tls-ca and --admit")
    if not plain and not (all(paths) and found["admit"]):
        parser.error("--tls-cert, --tls-key, --tls-ca and --admit are required (or --insecure-plain, on loopback only)")
    return Options(tls=None if plain else TlsFiles(*paths), **found)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m nightlatch_server",
        description="Serve one model package over Open Inference Protocol v2 and OpenAI's API. "
        "Exit status: 0 stopped by a signal, 2 bad options, 3 package refused, 4 cannot load the model.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"nightlatch_server {__version__}")
    _model_options(parser.add_argument_group("model"))
    _address_options(parser.add_argument_group("addresses"))
    _tls_options(parser.add_argument_group("who may connect"))
    _limit_options(parser.add_argument_group("limits and shutdown"))
    _log_options(parser.add_argument_group("logs"))
    return parser


def _model_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--model-dir", type=Path, required=True, help="the model package, a directory with model.json")
    group.add_argument("--model-name", type=_name, help="the name for callers; default: the name in model.json")
    group.add_argument("--expect-digest", type=_digest, help="sha256:… of model.json; other packages are refused")
    group.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="default: %(default)s")
    group.add_argument(
        "--threads", type=_count, help="threads for one torch operator; default: the whole CPUs of the cgroup quota"
    )


def _address_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--host", default="127.0.0.1", help="address of the serving port; default: %(default)s")
    group.add_argument("--port", type=_port, default=8443, help="serving port, 0 for a free one; default: %(default)s")
    group.add_argument("--admin-host", help="address of the admin port; default: the same as --host")
    group.add_argument(
        "--admin-port",
        type=_port,
        default=8081,
        help="plain HTTP: /healthz, /readyz, /metrics; default: %(default)s",
    )
    group.add_argument(
        "--announce", type=Path, help="write {port, admin_port, pid} to this file once both ports accept connections"
    )


def _tls_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--tls-cert",
        type=Path,
        help="PEM certificate chain; these three files are read again when they change",
    )
    group.add_argument("--tls-key", type=Path, help="PEM key of the certificate")
    group.add_argument("--tls-ca", type=Path, help="PEM CA that issued the client certificates")
    group.add_argument("--admit", type=_identity, help="the only SPIFFE id that may connect")
    group.add_argument("--insecure-plain", action="store_true", help="no TLS and no client identity; for loopback only")


def _limit_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--max-body", type=_count, default=32 << 20, help="bytes in one request body; default: %(default)s"
    )
    group.add_argument(
        "--max-queue",
        type=_count,
        default=1024,
        help="requests that may wait; more get 429; default: %(default)s",
    )
    group.add_argument(
        "--request-timeout",
        type=_seconds,
        default=60.0,
        help="seconds after which a queued request is not started; default: %(default)s",
    )
    group.add_argument(
        "--drain-delay",
        type=_seconds,
        default=5.0,
        help="seconds after SIGTERM in which the server is not ready, but still accepts; default: %(default)s",
    )
    group.add_argument(
        "--drain-timeout",
        type=_seconds,
        default=30.0,
        help="seconds after that to finish the requests in progress; default: %(default)s",
    )


def _log_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--log-level", choices=["debug", "info", "warning", "error"], default="info")
    group.add_argument("--access-log", type=Path, help="write one JSON line per request to this file")
    group.add_argument(
        "--log-headers",
        action="store_true",
        help="for tests: write all request headers to the access log, to prove that no credential of a caller arrives",
    )
    group.add_argument("--termination-message", type=Path, help="write the reason of a failure to this file")


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError("must be a port from 0 to 65535")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError("must be seconds, 0 or more")
    return value


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", text):
        raise argparse.ArgumentTypeError("must be 1 to 128 letters, digits, '.', '_' or '-'")
    return text


def _digest(text: str) -> str:
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", text):
        raise argparse.ArgumentTypeError("must be sha256: and 64 lower-case hex digits")
    return text


def _identity(text: str) -> str:
    if not re.fullmatch(r"spiffe://[^\s/]+/\S+", text):
        raise argparse.ArgumentTypeError("must be a SPIFFE id: spiffe://TRUST-DOMAIN/PATH")
    return text
