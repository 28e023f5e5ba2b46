"""Where files are: the cache of built programs, and the state directory of a cluster."""

import os
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parent
REPOSITORY = PACKAGE.parents[1]

# The node has its own (see bundled/isolation.py), so it could not see a state directory below one of these.
HIDDEN = (Path("/run"), Path("/var/lib"), Path("/var/log"))


def cache_directory() -> Path:
    """Return where built programs and Go's own caches are kept; deleting it costs a build, nothing else."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nightlatch"


def default_state_directory() -> Path:
    """Return the state directory that is used without --state-dir."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "nightlatch" / "cluster"


def is_hidden(directory: Path) -> bool:
    """Return whether the node could not see this directory."""
    return any(directory.is_relative_to(hidden) for hidden in HIDDEN)


@dataclass(frozen=True)
class State:
    """The directory of one cluster, and the files in it."""

    root: Path

    @property
    def record(self) -> Path:
        """What `down` needs to know, as JSON. It exists while a cluster is running or starting."""
        return self.root / "cluster.json"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, valid while the cluster runs."""
        return self.root / "kubeconfig"

    @property
    def configuration(self) -> Path:
        """Rendered configuration files of the components."""
        return self.root / "etc"

    @property
    def certificates(self) -> Path:
        """Keys, certificates and kubeconfigs of the components."""
        return self.root / "certificates"

    @property
    def logs(self) -> Path:
        """One log for each component; they stay after `down`."""
        return self.root / "logs"

    @property
    def audit_log(self) -> Path:
        """The API server's audit log, JSON lines at level Metadata; it stays after `down`."""
        return self.logs / "audit.log"

    @property
    def var(self) -> Path:
        """The node's own /var/lib and /var/log: etcd, images, containers, volumes."""
        return self.root / "var"

    @property
    def sysctls(self) -> Path:
        """Files that stand in for the kernel settings that a kubelet requires."""
        return self.root / "sysctls"
