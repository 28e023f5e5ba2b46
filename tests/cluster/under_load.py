"""What tests under steady load do to an installation, and where they count."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.installation import SYSTEM, Installation

_OPERATIONS = {"embeddings", "model_metadata"}


def mounted(installation: Installation, namespace: str, secrets: Mapping[str, str]) -> Path:
    """A folder for each Secret, by the folder's name, as the processes of a pod see it that does nothing else."""
    container = {
        "name": "reader",
        "image": installation.images[0],
        "imagePullPolicy": "Never",
        "command": ["python", "-c", "import signal; signal.pause()"],
        "volumeMounts": [{"name": name, "mountPath": f"/etc/nightlatch/{name}"} for name in secrets],
    }
    volumes = [{"name": name, "secret": {"secretName": secret}} for name, secret in secrets.items()]
    metadata = {"name": "reader", "namespace": namespace}
    spec = {"containers": [container], "volumes": volumes, "terminationGracePeriodSeconds": 0}
    installation.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    installation.kubectl("wait", "--for=condition=Ready", "pod/reader", "-n", namespace, "--timeout=120s")
    found = installation.processes("reader", namespace)
    (process,) = [each for each in found if "signal.pause()" in " ".join(each.cmdline())]
    return Path("/proc", str(process.pid), "root", "etc", "nightlatch")


def served(installation: Installation, name: str, namespace: str) -> int:
    """Answers 200 to embeddings and metadata that the endpoint's only model server counted."""
    (pod,) = installation.pods(name, namespace)
    metrics = httpx.get(f"http://{pod['status']['podIP']}:{_admin_port(pod)}/metrics").text
    samples = [each for family in text_string_to_metric_families(metrics) for each in family.samples]
    counted = [each for each in samples if each.name.endswith("requests_total") and each.labels.get("code") == "200"]
    return int(sum(each.value for each in counted if each.labels["operation"] in _OPERATIONS))


def _admin_port(pod: dict[str, Any]) -> int:
    """The plain port, where kubelet and Prometheus look."""
    (container,) = pod["spec"]["containers"]
    named = {each["name"]: each["containerPort"] for each in container["ports"]}
    return next(port for name, port in named.items() if "admin" in name or "metrics" in name)


def restart(installation: Installation, namespace: str, pod: str) -> None:
    """The pod ends in good order, and another takes its place."""
    installation.kubectl("delete", "pod", pod, "-n", namespace)


def gateway_names(installation: Installation) -> list[str]:
    """The pods of the gateways."""
    return [pod["metadata"]["name"] for pod in installation.gateway_pods()]


def leader(installation: Installation) -> str:
    """The operator that acts."""
    found = installation.get("lease", "nightlatch-operator", SYSTEM)
    assert found
    return str(found["spec"]["holderIdentity"])
