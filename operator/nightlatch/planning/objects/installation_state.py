"""The ConfigMap that tells the state of the installation, on which people put their requests as annotations."""

from collections.abc import Mapping
from typing import Any

from nightlatch.api import names
from nightlatch.planning.objects.metadata import MANAGED_BY, MANAGER


def installation_state(namespace: str, told: Mapping[str, str]) -> dict[str, Any]:
    """In the operator's namespace."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": names.INSTALLATION_CONFIG_MAP, "namespace": namespace, "labels": {MANAGED_BY: MANAGER}},
        "data": dict(told),
    }
