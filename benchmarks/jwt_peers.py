"""Envoy's own filter for JSON Web Tokens (jwt_authn) before many endpoints: the peers of our gateway in `issuers.py`.

Each endpoint has a filter chain by its server name, a certificate by SDS, and the filter, which asks for a token of the
endpoint's issuer. Everything comes over an ADS stream of the server that our gatekeeper uses. There is no upstream:
Envoy answers a call that is let through itself.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compiled import serving
from envoy.config.core.v3 import extension_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.extensions.filters.http.jwt_authn.v3 import config_pb2
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2  # noqa: F401 - registers its type
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2,  # noqa: F401
)
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2, tls_pb2  # noqa: F401
from envoys import HOST, Authorities, envoy, free_port

from nightlatch.gatekeeper.xds.server import Ads
from nightlatch.pki.material import TlsMaterial
from nightlatch.routing.xds.bootstrap import bootstrap
from nightlatch.routing.xds.types import ADS, EXTENSIONS, pack, parse
from nightlatch.wire.xds_types import EXTENSION, LISTENER, SECRET

# Which issuer's tokens an endpoint takes, and its keys as JSON Web Keys, by the issuer's `iss`.
Keys = Mapping[str, Sequence[Mapping[str, str]]]
# Seconds in which Envoy ends the connections of a filter chain that was replaced. Its default is 600.
DRAIN_S = 10
_JWT = EXTENSIONS + "filters.http.jwt_authn.v3."
_FILTER, _LISTENER = "jwt", "peer"
_PATIENCE_S = 120.0


@dataclass
class JwtPeer:
    """`issuer`: of each endpoint, by host. shared: the key sets of all issuers are one resource (ECDS) for all chains;
    otherwise each chain has those of its own issuer, in the listener."""

    name: str
    issuer: Mapping[str, str]
    audience: str
    shared: bool
    port: int = field(default_factory=free_port)
    pid: int = 0
    admin: Path = Path()
    _chains: dict[str, Any] = field(default_factory=dict)
    _ads: Ads = field(default_factory=lambda: Ads(lambda _type_url, _name: None))

    @contextlib.asynccontextmanager
    async def running(self, folder: Path, authorities: Authorities, keys: Keys) -> AsyncIterator[None]:
        """Envoy with everything applied."""
        (folder / "ca.crt").write_bytes(authorities.leaf("spiffe://peer/ca", "client").ca)
        self.admin, socket = folder / "admin.sock", folder / "ads.sock"
        self._ads.update({(SECRET, host): _secret(host, authorities) for host in self.issuer})
        async with serving(self._ads, socket):
            config = bootstrap(self.name, socket, self.admin)
            await self.push(self.prepared(keys, tuple(keys)), wait=False)
            more = ("--drain-time-s", str(DRAIN_S))
            async with envoy(folder, "peer", config, self.port, workers=2, more=more) as self.pid:
                yield

    def prepared(self, keys: Keys, changed: Sequence[str]) -> dict[tuple[str, str], Any]:
        """What Envoy must be given after these issuers' keys changed. Making it is not part of what is measured."""
        if self.shared:
            resources = {(EXTENSION, _FILTER): _shared_filter(keys, self.audience)}
            return resources if self._chains else {**resources, (LISTENER, _LISTENER): self._listener(keys, changed)}
        return {(LISTENER, _LISTENER): self._listener(keys, changed)}

    async def push(self, resources: dict[tuple[str, str], Any], *, wait: bool = True) -> None:
        """Hand it to Envoy, and wait until Envoy has accepted it."""
        version = self._ads.update(resources)
        if wait:
            async with asyncio.timeout(_PATIENCE_S):
                await self._ads.applied(resources, version)

    def _listener(self, keys: Keys, changed: Sequence[str]) -> Any:
        for host, iss in self.issuer.items():
            if iss in changed:
                chain = self._chain(host, iss, keys)
                self._chains[host] = parse(chain, listener_components_pb2.FilterChain())
        inspector = {"@type": EXTENSIONS + "filters.listener.tls_inspector.v3.TlsInspector"}
        members = {
            "name": _LISTENER,
            "address": {"socket_address": {"address": HOST, "port_value": self.port}},
            "listener_filters": [{"name": "tls_inspector", "typed_config": inspector}],
        }
        listener = parse(members, listener_pb2.Listener())
        listener.filter_chains.extend(self._chains.values())
        return pack(listener)

    def _chain(self, host: str, iss: str, keys: Keys) -> dict[str, Any]:
        route: dict[str, Any] = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
        if self.shared:
            source = {"config_source": ADS, "type_urls": [_JWT + "JwtAuthentication"]}
            jwt = {"name": _FILTER, "config_discovery": source}
            asked = {"@type": _JWT + "PerRouteConfig", "requirement_name": iss}
            route["typed_per_filter_config"] = {_FILTER: asked}
        else:
            rule = {"match": {"prefix": "/"}, "requires": {"provider_name": iss}}
            own = {"providers": {iss: _provider(iss, keys, self.audience)}, "rules": [rule]}
            jwt = {"name": _FILTER, "typed_config": {"@type": _JWT + "JwtAuthentication", **own}}
        router = {"name": "router", "typed_config": {"@type": EXTENSIONS + "filters.http.router.v3.Router"}}
        manager = {
            "@type": EXTENSIONS + "filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "peer",
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
            "http_filters": [jwt, router],
        }
        certificates = [{"name": host, "sds_config": ADS}]
        tls = {
            "@type": EXTENSIONS + "transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {"tls_certificate_sds_secret_configs": certificates, "alpn_protocols": ["http/1.1"]},
        }
        return {
            "name": host,
            "filter_chain_match": {"server_names": [host]},
            "filters": [{"name": "http_connection_manager", "typed_config": manager}],
            "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls},
        }


def _shared_filter(keys: Keys, audience: str) -> Any:
    members = {
        "providers": {iss: _provider(iss, keys, audience) for iss in keys},
        "requirement_map": {iss: {"provider_name": iss} for iss in keys},
    }
    config = parse(members, config_pb2.JwtAuthentication())
    return pack(extension_pb2.TypedExtensionConfig(name=_FILTER, typed_config=pack(config)))


def _provider(iss: str, keys: Keys, audience: str) -> dict[str, Any]:
    return {
        "issuer": iss,
        "audiences": [audience],
        "local_jwks": {"inline_string": json.dumps({"keys": list(keys[iss])})},
        "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
    }


def _secret(host: str, authorities: Authorities) -> Any:
    leaf: TlsMaterial = authorities.leaf(f"spiffe://peer/{host}", "server", host)
    certificate = {
        "certificate_chain": {"inline_string": leaf.certificate.decode()},
        "private_key": {"inline_string": leaf.private_key.decode()},
    }
    return pack(parse({"name": host, "tls_certificate": certificate}, secret_pb2.Secret()))
