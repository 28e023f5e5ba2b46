"""What a provider says about itself (RFC 8414, OpenID Connect Discovery), and which addresses are safe. Pure."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from nightlatch_client.errors import InsecureUrlError, ProviderMismatchError

_ENDPOINTS = ("token_endpoint", "device_authorization_endpoint", "revocation_endpoint")


@dataclass(frozen=True, slots=True)
class Metadata:
    """Endpoints by their names in RFC 8414. aliases: those for clients that show a certificate (RFC 8705, 5)."""

    endpoints: Mapping[str, str]
    aliases: Mapping[str, str] = field(default_factory=dict)

    def endpoint(self, name: str, *, shows_certificate: bool) -> str | None:
        """Where to send a request; None if the provider does not have this endpoint."""
        found = self.aliases.get(name) if shows_certificate else None
        return found or self.endpoints.get(name)


def addresses(issuer: str) -> tuple[str, str]:
    """Where the document may be: by OpenID Connect Discovery, then by RFC 8414. Raises InsecureUrlError."""
    require_tls(issuer)
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    return (
        issuer.rstrip("/") + "/.well-known/openid-configuration",
        f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{path}",
    )


def read(document: Any, issuer: str) -> Metadata:
    """Raises ProviderMismatchError for the document of another issuer, and for endpoints without TLS."""
    if not isinstance(document, Mapping):
        raise ProviderMismatchError(f"{issuer}: its discovery document is not a JSON object")
    if document.get("issuer") != issuer:
        said = str(document.get("issuer"))[:200]
        raise ProviderMismatchError(f"the discovery document at {issuer} is of {said!r}: write it exactly so")
    aliases = document.get("mtls_endpoint_aliases")
    found = Metadata(_endpoints(document, issuer), _endpoints(aliases if isinstance(aliases, Mapping) else {}, issuer))
    if "token_endpoint" not in found.endpoints:
        raise ProviderMismatchError(f"{issuer}: its discovery document has no token_endpoint")
    return found


def require_tls(url: str) -> None:
    """Raises InsecureUrlError for an address of another machine without TLS."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme != "http" or not is_loopback(parts.hostname or ""):
        raise InsecureUrlError(f"{parts.scheme}://{parts.hostname or ''}: use https; http is for this machine alone")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its name or address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin(url: str) -> str:
    """Scheme, host and port, in lower case."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}".lower()


def _endpoints(document: Mapping[str, Any], issuer: str) -> dict[str, str]:
    found = {}
    for name in _ENDPOINTS:
        url = document.get(name)
        if not isinstance(url, str):
            continue
        try:
            require_tls(url)
        except InsecureUrlError as error:
            raise ProviderMismatchError(f"{issuer}: its {name} is not safe: {error}") from None
        found[name] = url
    return found
