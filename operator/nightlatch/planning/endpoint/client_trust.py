"""The CAs from which an endpoint takes client certificates: our own, or those in the user's Secrets. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from nightlatch import pki
from nightlatch.api import names
from nightlatch.api.conditions import Reason
from nightlatch.api.meta import NamespacedName
from nightlatch.pki import Bundle, Finding
from nightlatch.planning.access.accepted import MTLS, accepted
from nightlatch.planning.inputs import Observed
from nightlatch.planning.parsed import ParsedEndpoint
from nightlatch.planning.secrets import SecretView


@dataclass(frozen=True, slots=True)
class ClientTrust:
    """`pem`: the CAs; empty if there is none to trust, or while `problem` is set.

    problem: the first Secret that cannot be used; the CAs trusted before then stay. left_out: the CAs that were, and
    why. look_again: when a CA expires.
    """

    pem: str = ""
    foreign: bool = False
    problem: Finding | None = None
    left_out: tuple[str, ...] = ()
    look_again: datetime | None = None


def trust_secrets(endpoint: ParsedEndpoint) -> tuple[NamespacedName, ...]:
    """The Secrets that the spec names."""
    mtls = endpoint.spec.access.mtls if endpoint.spec else None
    return tuple(NamespacedName(endpoint.key.namespace, each.secret_name) for each in (mtls.trust if mtls else ()))


def client_trust(endpoint: ParsedEndpoint, observed: Observed, now: datetime) -> ClientTrust | None:
    """None where no certificate is accepted, and for a spec that cannot be read."""
    if endpoint.spec is None or not any(MTLS in group for group in accepted(endpoint.spec.access)):
        return None
    wanted = trust_secrets(endpoint)
    if not wanted:
        return ClientTrust(observed.issuing_ca.trust_pem.decode() if observed.issuing_ca else "")
    found = [_read(key, observed.trust.get(key), observed.settings.platform, now) for key in wanted]
    if problem := next((each for each in found if isinstance(each, Finding)), None):
        return ClientTrust(foreign=True, problem=problem)
    bundles = [each for each in found if isinstance(each, Bundle)]
    whole = pki.clean_bundle((each for bundle in bundles for each in bundle.certificates), now)
    return ClientTrust(
        pem=whole.pem.decode(),
        foreign=True,
        left_out=(*(text for bundle in bundles for text in bundle.left_out), *whole.left_out),
        look_again=min(_ends(whole)),
    )


def _read(key: NamespacedName, secret: SecretView | None, platform: str, now: datetime) -> Bundle | Finding:
    if secret is not None and secret.use == names.USE_TRUST:
        return pki.read_trust(key.name, secret.data, now)
    if platform == "Embedded":
        advice = f"start `nightlatch up` with --trust {key}=FILE"
    elif secret is None:
        advice = f"create it with the label {names.LABEL_USE}: {names.USE_TRUST}"
    else:
        advice = f"it lacks the label {names.LABEL_USE}: {names.USE_TRUST}, without which it is not read: label it"
    there = "cannot be read" if secret is not None else "does not exist"
    return Finding(Reason.TRUST_MISSING, f"Secret {key.name} of CAs to trust {there}: {advice}")


def _ends(bundle: Bundle) -> Iterator[datetime]:
    return (each.not_valid_after_utc for each in bundle.certificates)
