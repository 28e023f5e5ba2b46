"""The ServiceAccount of the model server's pods: their own identity, without a token and without rights."""

from typing import Any

from nightlatch.api import names
from nightlatch.planning.objects.metadata import metadata
from nightlatch.planning.workload import Workload


def service_account(workload: Workload) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(workload, names.service_account(workload.endpoint)),
        "automountServiceAccountToken": False,
    }
