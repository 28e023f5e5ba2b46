"""The pod of a bundled model server: non-root, read-only, no token, mTLS on the serving port."""

from typing import Any

from nightlatch.api import names
from nightlatch.api.endpoint import TopologySpread
from nightlatch.planning.objects.cluster import ADMIN_PORT, SERVING_PORT, ClusterSettings
from nightlatch.planning.objects.metadata import selector
from nightlatch.planning.workload import Workload

MODEL_DIRECTORY = "/model"
TLS_DIRECTORY = "/tls"
_USER = 65532
_SPREAD = (TopologySpread(topology_key="kubernetes.io/hostname"),)

# After SIGTERM the pod keeps serving until every gateway has dropped its address, then it finishes open calls.
DRAIN_DELAY_SECONDS = 2
_DRAIN_DEADLINE_SECONDS = 60


def pod_spec(workload: Workload, cluster: ClusterSettings) -> dict[str, Any]:
    """A PodSpec that passes the `restricted` Pod Security Standard."""
    runtime = workload.runtime
    spec: dict[str, Any] = {
        "serviceAccountName": names.service_account(workload.endpoint),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": DRAIN_DELAY_SECONDS + _DRAIN_DEADLINE_SECONDS + 5,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(workload, cluster)],
        "volumes": _volumes(workload),
        "nodeSelector": dict(runtime.node_selector),
        "tolerations": [item.model_dump(by_alias=True, exclude_none=True) for item in runtime.tolerations],
        "imagePullSecrets": [{"name": item.name} for item in runtime.image_pull_secrets],
        "runtimeClassName": runtime.runtime_class_name,
        "priorityClassName": runtime.priority_class_name,
        "topologySpreadConstraints": [_spread(workload, each) for each in runtime.topology_spread or _SPREAD],
    }
    return {name: value for name, value in spec.items() if value not in (None, {}, [])}


def _spread(workload: Workload, wanted: TopologySpread) -> dict[str, Any]:
    return {**wanted.model_dump(by_alias=True), "labelSelector": {"matchLabels": selector(workload.endpoint)}}


def _container(workload: Workload, cluster: ClusterSettings) -> dict[str, Any]:
    resources = workload.runtime.resources
    return {
        "name": "model-server",
        "image": cluster.model_server_image,
        "imagePullPolicy": cluster.image_pull_policy,
        "args": _arguments(workload),
        "env": [{"name": item.name, "value": item.value} for item in workload.runtime.env],
        "ports": [
            {"name": "serving", "containerPort": SERVING_PORT, "protocol": "TCP"},
            {"name": "admin", "containerPort": ADMIN_PORT, "protocol": "TCP"},
        ],
        "resources": resources.model_dump(by_alias=True, exclude_defaults=True) if resources else {},
        # The server writes why it exits to the termination log; conditions and held callers get it from there.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "readinessProbe": _probe("/readyz", period=1, failures=3),
        "livenessProbe": _probe("/healthz", period=10, failures=6),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": _mounts(workload),
    }


def _arguments(workload: Workload) -> list[str]:
    arguments = [
        f"--model-dir={MODEL_DIRECTORY}",
        f"--model-name={workload.model_name}",
        "--host=0.0.0.0",
        f"--port={SERVING_PORT}",
        f"--admin-port={ADMIN_PORT}",
        "--admin-host=0.0.0.0",
        f"--tls-cert={TLS_DIRECTORY}/tls.crt",
        f"--tls-key={TLS_DIRECTORY}/tls.key",
        f"--tls-ca={TLS_DIRECTORY}/ca.crt",
        f"--admit={workload.admit}",
        f"--drain-delay={DRAIN_DELAY_SECONDS}",
        f"--drain-timeout={_DRAIN_DEADLINE_SECONDS}",
        "--termination-message=/dev/termination-log",
    ]
    if workload.digest:
        arguments.append(f"--expect-digest={workload.digest}")
    return [*arguments, *workload.runtime.args]


def _probe(path: str, *, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "admin", "scheme": "HTTP"},
        "periodSeconds": period,
        "failureThreshold": failures,
        "timeoutSeconds": 2,
    }


def _volumes(workload: Workload) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = [
        {"name": "tls", "secret": {"secretName": workload.tls_secret, "defaultMode": 0o440}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
    ]
    if workload.source.pvc:
        claim = {"claimName": workload.source.pvc.claim_name, "readOnly": True}
        volumes.append({"name": "model", "persistentVolumeClaim": claim})
    if workload.runtime.shared_memory:
        memory = {"medium": "Memory", "sizeLimit": workload.runtime.shared_memory}
        volumes.append({"name": "shared-memory", "emptyDir": memory})
    return volumes


def _mounts(workload: Workload) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [
        {"name": "tls", "mountPath": TLS_DIRECTORY, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - inside the container
    ]
    if workload.source.pvc:
        mount: dict[str, Any] = {"name": "model", "mountPath": MODEL_DIRECTORY, "readOnly": True}
        path = workload.source.pvc.path.strip("/")
        mounts.append({**mount, "subPath": path} if path else mount)
    if workload.runtime.shared_memory:
        mounts.append({"name": "shared-memory", "mountPath": "/dev/shm"})  # noqa: S108
    return mounts
