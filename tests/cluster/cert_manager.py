"""cert-manager's own controllers beside a cluster, for as long as a test needs them."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.cluster.conftest import node
from tests.cluster.installation import Installation, until

_CRDS = ("certificaterequests", "certificates", "clusterissuers", "issuers")
CERTIFICATES, REQUESTS = "certificates.cert-manager.io", "certificaterequests.cert-manager.io"


@contextlib.contextmanager
def running(installation: Installation, log: Path) -> Iterator[None]:
    """Its CRDs and its controllers, without a webhook; afterwards neither, as if it had been uninstalled."""
    program = Path(node("tool", "cert-manager"))
    files = [program.parent / "crds" / f"cert-manager.io_{name}.yaml" for name in _CRDS]
    for file in files:
        # Server-side: a client-side apply would put the whole of it into an annotation, which is too long.
        installation.kubectl("apply", "--server-side", "-f", str(file))
    named = [f"crd/{name}.cert-manager.io" for name in _CRDS]
    installation.kubectl("wait", "--for=condition=Established", *named, "--timeout=60s")
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(program), installation.kubeconfig], stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
    try:
        yield
        assert process.poll() is None, f"cert-manager ended: {log.read_text()[-2000:]}"
    finally:
        process.terminate()
        process.wait(timeout=30)
        installation.kubectl("delete", *named, "--ignore-not-found", "--timeout=60s")


def ca_issuer(installation: Installation, name: str, namespace: str) -> str:
    """An Issuer with a CA, which a SelfSigned Issuer signed, and a Secret of that CA to trust. Returns the CA (PEM)."""
    own = {"name": f"{name}-self", "kind": "Issuer"}
    ca = {
        "isCA": True,
        "commonName": name,
        "secretName": f"{name}-ca",
        "issuerRef": own,
        "privateKey": {"algorithm": "ECDSA", "size": 256},
    }
    installation.apply(
        _theirs("Issuer", f"{name}-self", namespace, {"selfSigned": {}}),
        _theirs("Certificate", f"{name}-ca", namespace, ca),
        _theirs("Issuer", name, namespace, {"ca": {"secretName": f"{name}-ca"}}),
    )
    installation.kubectl("wait", "--for=condition=Ready", f"{CERTIFICATES}/{name}-ca", "-n", namespace, "--timeout=60s")
    pem = installation.credentials(f"{name}-ca", namespace)["tls.crt"]
    metadata = {"name": f"{name}-trust", "namespace": namespace, "labels": {"nightlatch.dev/use": "trust"}}
    installation.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"ca.crt": pem}})
    return pem


def ask_to_renew(installation: Installation, name: str, namespace: str) -> None:
    """As `cmctl renew` does it."""
    found = certificate(installation, name, namespace)
    assert found
    condition = {
        "type": "Issuing",
        "status": "True",
        "reason": "ManuallyTriggered",
        "message": "Certificate re-issuance manually triggered",
        "lastTransitionTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "observedGeneration": found["metadata"]["generation"],
    }
    kept = [each for each in found["status"]["conditions"] if each["type"] != "Issuing"]
    found["status"]["conditions"] = [*kept, condition]
    path = f"/apis/cert-manager.io/v1/namespaces/{namespace}/certificates/{name}/status"
    installation.kubectl("replace", "--raw", path, "-f", "-", stdin=json.dumps(found))


def certificate(installation: Installation, name: str, namespace: str) -> dict[str, Any] | None:
    """A Certificate, or None; also where the kind does not exist."""
    with contextlib.suppress(LookupError):
        return installation.get(CERTIFICATES, name, namespace)
    return None


def gone(installation: Installation, name: str, namespace: str) -> None:
    """Wait until neither a Certificate nor its Secret is there."""
    until(lambda: certificate(installation, name, namespace) is None, f"Certificate {name} is gone")
    until(lambda: installation.get("secret", name, namespace) is None, f"Secret {name} is gone")


def _theirs(kind: str, name: str, namespace: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "cert-manager.io/v1", "kind": kind, "metadata": metadata, "spec": spec}
