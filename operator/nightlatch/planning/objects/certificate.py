"""The Certificate of cert-manager that keeps a client's certificate, or the one of an endpoint for its callers."""

from datetime import timedelta
from typing import Any

from nightlatch.api import names
from nightlatch.api.meta import API_VERSION, CERTIFICATE
from nightlatch.planning.objects.metadata import MANAGED_BY, MANAGER
from nightlatch.planning.plan import EnsureCertificate
from nightlatch.planning.secrets import owner_text

# The words of cert-manager. An elliptic-curve key signs handshakes and encrypts nothing.
_USES = {"server": "server auth", "client": "client auth"}


def certificate(wanted: EnsureCertificate) -> dict[str, Any]:
    """It has the name of its Secret, and the namespace of its owner."""
    target, request, owner = wanted.target, wanted.request, wanted.target.owner
    ours = {names.LABEL_ROLE: target.role, names.LABEL_OWNER_UID: owner.uid}
    owned = {names.ANNOTATION_OWNER: owner_text(owner.ref)}
    return {
        "apiVersion": CERTIFICATE.api_version,
        "kind": CERTIFICATE.kind,
        "metadata": {
            "name": target.key.name,
            "namespace": target.key.namespace,
            "labels": {MANAGED_BY: MANAGER, **target.labels, **ours},
            "annotations": {**wanted.annotations, **owned},
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": owner.ref.kind,
                    "name": owner.ref.key.name,
                    "uid": owner.uid,
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": {
            "secretName": target.key.name,
            "secretTemplate": {"labels": {**target.labels, **ours}, "annotations": {**target.annotations, **owned}},
            "issuerRef": {"name": wanted.issuer.name, "kind": wanted.issuer.kind, "group": wanted.issuer.group},
            "duration": _duration(request.duration),
            "renewBefore": _duration(wanted.renew_before),
            # A key that leaked is worth nothing after the next renewal.
            "privateKey": {"rotationPolicy": "Always", "algorithm": "ECDSA", "size": 256, "encoding": "PKCS8"},
            "usages": ["digital signature", _USES[request.usage]],
            **({"uris": [request.identity]} if request.identity else {}),
            **({"dnsNames": list(request.dns_names)} if request.dns_names else {}),
        },
    }


def _duration(value: timedelta) -> str:
    """As Go writes it."""
    hours, rest = divmod(round(value.total_seconds()), 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours}h{minutes}m{seconds}s"
