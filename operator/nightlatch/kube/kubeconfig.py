"""Which cluster and which namespace a kubeconfig means, as kubectl reads it."""

import os
from dataclasses import dataclass
from pathlib import Path

import yaml
from kubernetes.aio import config

from nightlatch.kube.errors import ApiServerError

_DEFAULT = Path(".kube") / "config"


@dataclass(frozen=True, slots=True)
class KubeContext:
    """A context of a kubeconfig. `path`: one file, or several as in KUBECONFIG. `namespace`: of the context."""

    path: str
    name: str
    namespace: str


def default_path() -> str:
    """Where kubectl looks: KUBECONFIG, or else ~/.kube/config."""
    return os.environ.get("KUBECONFIG") or str(Path.home() / _DEFAULT)


def exists(path: str) -> bool:
    """Whether there is a file at the path, or at one of several."""
    return any(Path(part).expanduser().exists() for part in path.split(os.pathsep) if part)


def read_context(path: str, name: str | None = None) -> KubeContext:
    """The context of this name, or the current one. Raises ApiServerError, saying what is wrong with the file."""
    if not exists(path):
        raise ApiServerError(0, "Configuration", f"no kubeconfig at {path}")
    try:
        contexts, current = config.list_kube_config_contexts(config_file=path)
    except (config.ConfigException, OSError, yaml.YAMLError, TypeError) as error:
        raise ApiServerError(0, "Configuration", f"cannot read the kubeconfig {path}: {error}") from error
    known = {each["name"]: each["context"] for each in contexts}
    wanted = name or current["name"]
    if wanted not in known:
        raise ApiServerError(
            0, "Configuration", f"the kubeconfig {path} has no context {wanted}; it has {', '.join(sorted(known))}"
        )
    return KubeContext(path, wanted, known[wanted].get("namespace") or "default")
