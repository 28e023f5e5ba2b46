"""The ConfigMap with the CA that the callers of a namespace should trust."""

from typing import Any

from nightlatch.api import names
from nightlatch.planning.objects.metadata import MANAGED_BY, MANAGER


def trust_bundle(namespace: str, bundle: str) -> dict[str, Any]:
    """`bundle` is PEM. All endpoints and clients of the namespace share the ConfigMap, so none of them owns it."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": names.CA_CONFIG_MAP, "namespace": namespace, "labels": {MANAGED_BY: MANAGER}},
        "data": {"ca.crt": bundle},
    }
