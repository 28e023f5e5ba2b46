"""Loads images into the bundled node's containerd by hard-linking unpacked layers instead of copying them.

Writing, reading, hashing and unpacking a layer of 4 GB would take minutes for each fresh node. But the node is on the
same disk as the unpacked layers, and containerd accepts a snapshot that is named after the layer's chain id.
"""

import secrets
import shlex
import subprocess
import tempfile
from pathlib import Path

from tools.images import buildah
from tools.images.buildah import Image, Layer
from tools.node import borrowed
from tools.node.artifacts.image_archive import documents_archive
from tools.node.bundled import node
from tools.node.errors import NodeError
from tools.node.paths import State
from tools.node.progress import Progress
from tools.node.record import Record

CONTAINERD = Path("/var/lib/containerd")


def load(state: State, known: Record, image: Image, names: tuple[str, ...], progress: Progress) -> None:
    """Load an image into the cluster under these names. Layers that the cluster has are not sent again."""
    if known.cluster == "node" and _shares_disk(state):
        snapshots = _Snapshots(state, known)
        below = ""
        for layer in image.layers:
            snapshots.ensure(layer, below)
            below = layer.chain
        for name in names:
            _take(known, documents_archive(name, image.manifest, image.config))
    else:
        for name in names:
            _load_archive(known, image, name, progress)


class _Snapshots:
    """The node's snapshots, which containerd names by chain id."""

    def __init__(self, state: State, known: Record) -> None:
        self._state = state
        self._known = known
        listed = self._ctr("list").splitlines()[1:]
        self._present = {line.split()[0] for line in listed}

    def ensure(self, layer: Layer, below: str) -> None:
        """Create a snapshot of the layer on top of `below` unless there is one."""
        if layer.chain in self._present:
            return
        key = f"nightlatch-{secrets.token_hex(8)}"
        self._ctr("prepare", key, *([below] if below else []))
        _link(layer.directory, self._host_path(self._upper_directory(key)))
        self._ctr("commit", layer.chain, key)
        self._present.add(layer.chain)

    def _upper_directory(self, key: str) -> Path:
        """Return the directory that holds what is written to an active snapshot, as the node sees it."""
        mount = shlex.split(self._ctr("mounts", "/target", key))
        if mount[:3] == ["mount", "-t", "bind"]:
            return Path(mount[3])
        options = dict(option.partition("=")[::2] for option in mount[mount.index("-o") + 1].split(","))
        return Path(options["upperdir"])

    def _host_path(self, path: Path) -> Path:
        return self._state.var / path.relative_to("/var")

    def _ctr(self, verb: str, *arguments: str) -> str:
        command = ["ctr", "--namespace", "k8s.io", "snapshots", "--snapshotter", "overlayfs", verb, *arguments]
        done = subprocess.run(node.enter(self._known, *command), check=False, capture_output=True, text=True)
        if done.returncode:
            raise NodeError(f"containerd refused `snapshots {verb}`: {done.stderr.strip()}")
        return done.stdout


def _shares_disk(state: State) -> bool:
    """Return whether the node's overlay snapshots are on the same file system as our storage."""
    snapshots = state.var / CONTAINERD.relative_to("/var") / "io.containerd.snapshotter.v1.overlayfs"
    return snapshots.exists() and snapshots.stat().st_dev == buildah.root().stat().st_dev


def _link(source: Path, target: Path) -> None:
    """Fill an empty directory with hard links to a layer's files, so that nothing is copied."""
    done = subprocess.run(
        ["cp", "-a", "--link", f"{source}/.", str(target)], check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise NodeError(f"Could not share the layer {source}: {done.stderr.strip().splitlines()[-1]}")


def _take(known: Record, archive: bytes) -> None:
    command = node.enter(known, "ctr", "--namespace", "k8s.io", "images", "import", "-")
    done = subprocess.run(command, check=False, input=archive, capture_output=True)
    if done.returncode:
        raise NodeError(f"containerd refused the image: {done.stderr.decode().strip()}")


def _load_archive(known: Record, image: Image, name: str, progress: Progress) -> None:
    with tempfile.TemporaryDirectory(dir=buildah.root()) as directory:
        path = Path(directory) / "image.oci.tar"
        buildah.export(image.reference, name, path)
        if known.cluster == "node":
            node.load_image(known, path)
        else:
            borrowed.load_image(known, path, progress)
