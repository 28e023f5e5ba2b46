"""A client of a provider: what it is called, how it proves that, and what it asks for."""

from dataclasses import dataclass, field
from pathlib import Path

from nightlatch_client.authentication import Authentication, PublicClient
from nightlatch_client.errors import TokenError
from nightlatch_client.metadata import require_tls
from nightlatch_client.transport import Certificate


@dataclass(frozen=True, slots=True)
class Client:
    """issuer: exactly as the provider writes it. scope: words with spaces between. resource: RFC 8707.

    audience: what Auth0 and others ask for instead of a resource. dpop: bind tokens to a key (RFC 9449).
    certificate: shown to the provider; some bind tokens to it (RFC 8705). ca: of the provider's certificate.
    """

    issuer: str
    client_id: str
    authentication: Authentication = field(default_factory=PublicClient)
    scope: str = ""
    audience: str = ""
    resource: str = ""
    dpop: bool = False
    certificate: Certificate | None = None
    ca: Path | None = None

    def __post_init__(self) -> None:
        require_tls(self.issuer)
        if self.authentication.method == "tls_client_auth" and self.certificate is None:
            raise TokenError("tls_client_auth needs a certificate: pass certificate=Certificate(chain, key)")

    def wishes(self) -> dict[str, str]:
        """The parameters that say what a token is for."""
        wishes = {"scope": self.scope, "audience": self.audience, "resource": self.resource}
        return {name: text for name, text in wishes.items() if text}

    def target(self) -> dict[str, str]:
        """The parameters that are said again when a grant is exchanged for a token (RFC 8707, 2.2)."""
        return {"resource": self.resource} if self.resource else {}
