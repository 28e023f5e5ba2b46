"""What the administrator decides once for an installation, and the host names that follow for an endpoint."""

from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

from nightlatch.api import names
from nightlatch.api.meta import NamespacedName
from nightlatch.api.validation.allowed import Allowed
from nightlatch.wire import route_document


@dataclass(frozen=True, slots=True)
class Settings:
    """`port`: where callers reach the gateway; part of every endpoint's URL unless it is 443.

    document_format: the newest format in which route documents are written, if every gateway reads it.
    allowed: what the owners of endpoints may ask for. provider_networks: the addresses that are not public and that
    identity providers may have all the same.
    """

    platform: Literal["Embedded", "Cluster"]
    port: int = 443
    trust_domain: str = names.DEFAULT_TRUST_DOMAIN
    operator_namespace: str = names.DEFAULT_OPERATOR_NAMESPACE
    gateway_namespace: str = names.DEFAULT_GATEWAY_NAMESPACE
    cluster_domain: str = "cluster.local"
    root_duration: timedelta = timedelta(days=3650)
    issuing_duration: timedelta = timedelta(days=365)
    leaf_duration: timedelta = timedelta(hours=24)
    # A Secret in the operator's namespace with a CA that somebody brings; empty: the installation makes its own.
    brought_ca: str = ""
    # How long callers, of whom nothing is known, have to take a new CA or a new certificate of theirs.
    callers_take: timedelta = timedelta(hours=24)
    # In how long the leaves of the CA before are replaced.
    reissue_over: timedelta = timedelta(minutes=10)
    resync: timedelta = timedelta(minutes=5)
    document_format: int = route_document.FORMAT
    allowed: Allowed = field(default_factory=Allowed)
    provider_networks: tuple[IPv4Network | IPv6Network, ...] = ()


def hosts(settings: Settings, endpoint: NamespacedName) -> tuple[str, ...]:
    """The endpoint's host names; the first one is in its URL."""
    short = f"{endpoint.name}.{endpoint.namespace}"
    if settings.platform == "Embedded":
        return (f"{short}.localhost",)
    return (f"{short}.svc", short, f"{short}.svc.{settings.cluster_domain}")


def pod_hosts(settings: Settings, endpoint: NamespacedName) -> tuple[str, ...]:
    """The DNS names in the model server's certificate. The gateway checks its SPIFFE identity, not these names."""
    if settings.platform == "Embedded":
        return (f"{names.pods_service(endpoint)}.{endpoint.namespace}.localhost",)
    return (f"{names.pods_service(endpoint)}.{endpoint.namespace}.svc",)


def url(settings: Settings, endpoint: NamespacedName) -> str:
    """The URL that callers use."""
    port = "" if settings.port == 443 else f":{settings.port}"
    return f"https://{hosts(settings, endpoint)[0]}{port}"
