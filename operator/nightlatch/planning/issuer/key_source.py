"""Where an issuer's keys come from: written in the spec, or fetched from a provider or from the API server. Pure."""

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime

from nightlatch import pki
from nightlatch.api import names
from nightlatch.api.conditions import Reason
from nightlatch.api.issuer import IssuerSpec
from nightlatch.api.meta import NamespacedName
from nightlatch.pki import Bundle, Finding
from nightlatch.planning.parsed import ParsedIssuer
from nightlatch.planning.secrets import SecretView
from nightlatch.planning.settings import Settings

DISCOVERY_PATH = "/.well-known/openid-configuration"
INLINE = "inline"


@dataclass(frozen=True, slots=True)
class KeySource:
    """A key set on the network. `url`: of the set, or of a discovery document that names it and must be of `issuer`.

    ca: the CAs of the provider, PEM; empty for those that the system knows. of_cluster: `url` is a path of the API
    server, which is asked with the operator's own credentials; `issuer` is None where the cluster may have any name.
    """

    url: str
    issuer: str | None = None
    ca: str = field(default="", repr=False)
    of_cluster: bool = False

    @property
    def digest(self) -> str:
        """Tells sources apart in a document. Another CA makes no other source."""
        return hashlib.sha256(f"{self.issuer or ''}\n{self.url}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Published:
    """What a source answered. `content`: a key set. issuer: what the source calls itself, where that is not known."""

    content: bytes = field(repr=False)
    issuer: str = ""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What fetching came to. `content`: the newest key set that the provider gave, at `fetched_at` (Unix seconds); None
    if there is none yet. `problem`: why the newest attempt failed. issuer: see `Published`."""

    content: bytes | None = field(default=None, repr=False)
    fetched_at: int = 0
    problem: Finding | None = None
    issuer: str = ""


@dataclass(frozen=True, slots=True)
class ObservedIssuer:
    """Everything that an issuer's plan depends on, besides its own spec and the time.

    document: the Secret of that name, also when it is not ours. ca: the Secret in `caSecretRef`, if it exists. fetched:
    None if the keys are not fetched, or have not been asked for yet.
    """

    settings: Settings
    document: SecretView | None = None
    ca: SecretView | None = None
    fetched: Fetched | None = None


def ca_secret(issuer: ParsedIssuer) -> NamespacedName | None:
    """The Secret that the spec names."""
    if issuer.spec is None or issuer.spec.ca_secret_ref is None:
        return None
    return NamespacedName(issuer.key.namespace, issuer.spec.ca_secret_ref.name)


def key_source(issuer: ParsedIssuer, ca: SecretView | None, settings: Settings, now: datetime) -> KeySource | None:
    """None if nothing is to be fetched: the keys are in the spec, the spec is rejected, or its CA cannot be used."""
    spec = issuer.spec
    if spec is None or spec.keys is None or issuer.rejection is not None:
        return None
    trust = provider_ca(issuer, ca, settings, now)
    if isinstance(trust, Finding):
        return None
    source = _source(spec)
    return replace(source, ca=trust.pem.decode()) if source and trust else source


def source_digest(spec: IssuerSpec) -> str:
    """The digest of where the keys of an accepted spec come from."""
    source = _source(spec)
    return source.digest if source else INLINE


def _source(spec: IssuerSpec) -> KeySource | None:
    """Without the CA."""
    keys = spec.keys
    if keys is None:
        return None
    if keys.kubernetes is not None:
        return KeySource(DISCOVERY_PATH, spec.issuer, of_cluster=True)
    if keys.jwks_uri is not None:
        return KeySource(keys.jwks_uri)
    if keys.discovery and spec.issuer is not None:
        return KeySource(spec.issuer.rstrip("/") + DISCOVERY_PATH, spec.issuer)
    return None


def provider_ca(
    issuer: ParsedIssuer, secret: SecretView | None, settings: Settings, now: datetime
) -> Bundle | Finding | None:
    """The CAs in the Secret that the spec names, or what is wrong with it; None if it names none."""
    key = ca_secret(issuer)
    if key is None:
        return None
    if secret is not None and secret.use == names.USE_TRUST:
        found = pki.read_trust(key.name, secret.data, now)
        return Finding(Reason.PROVIDER_CA_MISSING, found.message) if isinstance(found, Finding) else found
    if settings.platform == "Embedded":
        advice = f"start `nightlatch up` with --trust {key}=FILE"
    else:
        advice = f"create it with {pki.CA_CRT} and the label {names.LABEL_USE}: {names.USE_TRUST}"
    return Finding(
        Reason.PROVIDER_CA_MISSING, f"Secret {key.name} with the provider's CA is missing or not labelled: {advice}"
    )
