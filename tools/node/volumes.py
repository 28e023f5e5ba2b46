"""A PersistentVolumeClaim bound to a directory of this machine."""

from pathlib import Path
from typing import Any


def host_path_claim(namespace: str, name: str, directory: Path, size: str = "10Gi") -> list[dict[str, Any]]:
    """Return a PersistentVolume on `directory` and a read-only-many claim that only it satisfies."""
    spec = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
    volume = f"{namespace}-{name}"
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": spec
            | {
                "capacity": {"storage": size},
                "hostPath": {"path": str(directory), "type": "Directory"},
                "persistentVolumeReclaimPolicy": "Retain",
                "claimRef": {"namespace": namespace, "name": name},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"namespace": namespace, "name": name},
            "spec": spec | {"volumeName": volume, "resources": {"requests": {"storage": size}}},
        },
    ]
