"""cert-manager as planning sees it: its Certificates, and the Secrets that it filled."""

from dataclasses import replace
from datetime import timedelta

from nightlatch import pki
from nightlatch.api.validation.allowed import Allowed
from nightlatch.planning.certificates import CertificateView
from nightlatch.planning.inputs import CertManagerView
from nightlatch.planning.settings import Settings
from tests.unit.planning.scene import NOW, found

CLUSTER = Settings(platform="Cluster", allowed=Allowed(cert_manager=True))
CORP = pki.new_issuing(pki.new_root(now=NOW), now=NOW)
ISSUER = {"name": "corp", "kind": "ClusterIssuer"}
NAMED = {"issuerRef": ISSUER}


def there(*certificates: CertificateView, refusal: str = "") -> CertManagerView:
    return CertManagerView(available=True, certificates=certificates, refusal=refusal)


def certificate_of(wanted, **changes) -> CertificateView:
    """Ready, and renewed two thirds of its life from now."""
    owner = wanted.owner
    text = f"{owner.ref.kind}/{owner.ref.key}"
    view = CertificateView(wanted.key, "uid-cert", owner.uid, text, ready=True, renew_at=NOW + timedelta(hours=16))
    return replace(view, **changes)


def filled(wanted, *, ca=CORP, request=None, now=NOW, **data):
    """The Secret with what this CA issued for the request."""
    asked = request or wanted.request
    # An issuer may add what nobody asked for.
    asked = asked if asked.identity else replace(asked, identity="spiffe://corp.example/server")
    material = pki.issue_leaf(ca, asked, now=now).secret_data()
    target = replace(wanted, labels={}).target
    secret = found(replace(target, annotations={}), {**material, **data})
    return replace(secret, certificate=wanted.key.name)
