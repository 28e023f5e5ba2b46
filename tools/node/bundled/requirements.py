"""Which Debian packages the machine needs, and the command that installs them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tools.node.bundled.components import CNI_PLUGINS
from tools.node.errors import NodeError

CONTROL_PLANE = {"ip": "iproute2", "unshare": "util-linux", "mount": "mount"}
PODS = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "nft": "nftables",
    "nsenter": "util-linux",
}
IMAGES = {"buildah": "buildah", "mmdebstrap": "mmdebstrap"}
NEEDED_PLUGINS = ("host-local", "loopback", "ptp")
# Some users, root included, do not have these on PATH.
SYSTEM_PATH = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def ensure(*, runs_pods: bool, install: bool) -> None:
    """Raise NodeError unless this machine can run a node. Installs Debian packages only with `install`."""
    if sys.platform != "linux":
        raise NodeError("The bundled node needs Linux: use CLUSTER=kind or CLUSTER=current here")
    if os.geteuid() != 0:
        raise NodeError("The bundled node needs root: run it with sudo, or use CLUSTER=kind or CLUSTER=current")
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", ""), *SYSTEM_PATH])
    missing = missing_packages(runs_pods=runs_pods)
    if missing and install:
        _apt_install(missing)
        missing = missing_packages(runs_pods=runs_pods)
    if missing:
        packages = " ".join(missing)
        raise NodeError(
            f"Packages missing: {packages}. On Debian or Ubuntu: apt-get install --no-install-recommends {packages}\n"
            "(or use --install-packages)"
        )


def prepare() -> list[str]:
    """Install every missing Debian package that nodes and image builds need; return their names."""
    missing = missing_packages(runs_pods=True)
    missing += sorted(package for program, package in IMAGES.items() if not shutil.which(program))
    if missing:
        _apt_install(missing)
    return missing


def missing_packages(*, runs_pods: bool) -> list[str]:
    """Return the Debian packages whose programs are missing."""
    programs = CONTROL_PLANE | (PODS if runs_pods else {})
    missing = {package for program, package in programs.items() if not shutil.which(program)}
    if runs_pods and find_cni_plugins() is None:
        missing.add("containernetworking-plugins")
    return sorted(missing)


def find_cni_plugins() -> Path | None:
    """Return the directory that holds the CNI plugins we use."""
    complete = (path for path in CNI_PLUGINS if all((path / name).exists() for name in NEEDED_PLUGINS))
    return next(complete, None)


def _apt_install(packages: list[str]) -> None:
    if not shutil.which("apt-get"):
        raise NodeError(f"There is no apt-get: install {' '.join(packages)} with your system's package manager")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", *packages]):
        if subprocess.run(["apt-get", *arguments], check=False, env=environment, stdout=sys.stderr).returncode:
            raise NodeError(f"`apt-get {' '.join(arguments)}` failed; its output is above")
