"""ConfigMap `nightlatch-ca`: the CA that callers in a namespace should trust."""

from typing import Any

from nightlatch.planning.objects.metadata import MANAGED_BY, MANAGER

NAME = "nightlatch-ca"


def trust_bundle(namespace: str, bundle: str) -> dict[str, Any]:
    """`bundle` is PEM. Shared by all endpoints and clients of the namespace, hence owned by none of them."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "namespace": namespace, "labels": {MANAGED_BY: MANAGER}},
        "data": {"ca.crt": bundle},
    }
