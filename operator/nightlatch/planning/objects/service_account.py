"""The model pods' ServiceAccount: an identity of their own, with no token and no rights."""

from typing import Any

from nightlatch.planning.objects.metadata import metadata
from nightlatch.planning.workload import Workload


def service_account(workload: Workload) -> dict[str, Any]:
    """The ServiceAccount, named after the endpoint with a suffix so that it shadows no account of the user's."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(workload, service_account_name(workload)),
        "automountServiceAccountToken": False,
    }


def service_account_name(workload: Workload) -> str:
    """Name of the ServiceAccount."""
    return f"{workload.endpoint.name}-model-server"
