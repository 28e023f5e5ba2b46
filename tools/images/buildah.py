"""Runs buildah on our own storage, and reads the images in it."""

import hashlib
import json
import os
import shutil
import subprocess
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.images.inputs import REGISTRY, Target
from tools.node.artifacts import debian_base
from tools.node.errors import NodeError
from tools.node.paths import REPOSITORY, cache_directory
from tools.node.progress import Progress

# If the environment names a package index for pip, uv or cargo, the build uses the same one.
PASSED_ON = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "CARGO_INDEX")
SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
UV_CACHE = "/var/cache/uv"


@dataclass(frozen=True)
class Layer:
    """One unpacked layer in the storage; `chain` identifies the layer together with all layers below it."""

    chain: str
    directory: Path
    size: int


@dataclass(frozen=True)
class Image:
    """An image in the storage: its documents byte for byte, its layers from the base up."""

    reference: str
    manifest: bytes
    config: bytes
    layers: tuple[Layer, ...]

    @property
    def size(self) -> int:
        """Bytes of all layers, uncompressed."""
        return sum(layer.size for layer in self.layers)


def root() -> Path:
    """Return the directory of the storage. If it is deleted, the next use builds everything again."""
    return cache_directory() / "images"


def ensure() -> None:
    """Raise NodeError unless this machine can build images."""
    if os.geteuid() != 0 or not shutil.which("buildah"):
        raise NodeError("Building images needs root and buildah: apt-get install --no-install-recommends buildah")
    root().mkdir(parents=True, exist_ok=True)


def command(*arguments: str) -> list[str]:
    """Return a buildah command line for our storage. It runs in a mount namespace, so that no mount is left over."""
    private = ["unshare", "--mount", "--propagation", "private"]
    storage = ["--root", str(root() / "storage"), "--runroot", str(root() / "run"), "--storage-driver", "overlay"]
    return [*private, "buildah", *storage, *arguments]


def build(target: Target, name: str, bases: Mapping[str, Path], progress: Progress) -> None:
    """Build one target as `name`. Steps whose inputs did not change come from the storage.

    `bases` has an archive for each build argument that names a base image.
    """
    arguments = [f"{argument}=oci-archive:{archive}" for argument, archive in bases.items()]
    arguments += [f"UV_CACHE_DIR={UV_CACHE}", *target.arguments]
    arguments += [f"{key}={os.environ[key]}" for key in PASSED_ON if os.environ.get(key)]
    options = ["--isolation", "chroot", "--network", "host", "--layers", *_volumes()]
    options += [f"--build-arg={argument}" for argument in arguments]
    files = ["--ignorefile", str(REPOSITORY / ".dockerignore"), "--file", str(REPOSITORY / "Dockerfile")]
    _run(
        [*command("build", *options, *files, "--target", target.name, "--tag", name), str(REPOSITORY)],
        progress,
        target.name,
    )


def find(name: str) -> Image | None:
    """Return the image of that name, or None."""
    done = subprocess.run(command("inspect", "--type", "image", name), check=False, capture_output=True, text=True)
    if done.returncode:
        return None
    found = json.loads(done.stdout)
    return Image(name, found["Manifest"].encode(), found["Config"].encode(), _layers(found["FromImageID"]))


def export(reference: str, name: str, path: Path) -> None:
    """Write the whole image, called `name`, as an archive, for clusters that share no disk with us."""
    # oci-archive would compress the layers, which takes minutes for torch.
    done = subprocess.run(command("push", "--quiet", reference, f"docker-archive:{path}:{name}"), check=False)
    if done.returncode:
        raise NodeError(f"buildah could not write {path}: its output is above")


def names() -> list[str]:
    """Return the names of all images in the storage, except the bases."""
    listed = subprocess.run(
        command("images", "--format", "{{.Name}}:{{.Tag}}"), check=True, capture_output=True, text=True
    )
    bases = {base.reference for base in debian_base.BASES}
    return [name for name in listed.stdout.split() if name.startswith(REGISTRY) and name not in bases]


def remove(superseded: list[str]) -> None:
    """Remove images by name, and then all layers that no other image uses."""
    if superseded:
        subprocess.run(command("rmi", *superseded), check=False, capture_output=True)
    subprocess.run(command("rmi", "--prune"), check=False, capture_output=True)


def _volumes() -> list[str]:
    """Mount the machine's trusted certificates (a proxy may need them) and uv's downloads."""
    certificates = Path(os.environ.get("SSL_CERT_FILE") or SYSTEM_CERTIFICATES)
    downloads = Path(os.environ.get("UV_CACHE_DIR") or cache_directory().with_name("uv"))
    downloads.mkdir(parents=True, exist_ok=True)
    volumes = [f"--volume={downloads}:{UV_CACHE}"]
    return [*volumes, f"--volume={certificates}:{SYSTEM_CERTIFICATES}:ro"] if certificates.exists() else volumes


def _layers(image: str) -> tuple[Layer, ...]:
    """Follow the storage's own records from the top layer to the base."""
    storage = root() / "storage"
    images = {entry["id"]: entry for entry in _read(storage / "overlay-images" / "images.json")}
    records = {entry["id"]: entry for entry in _read(storage / "overlay-layers" / "layers.json")}
    found: list[dict[str, Any]] = []
    current = images[image]["layer"]
    while current:
        found.insert(0, records[current])
        current = records[current].get("parent", "")
    layers: list[Layer] = []
    for entry in found:
        chain = chain_id(layers[-1].chain if layers else "", entry["diff-digest"])
        layers.append(Layer(chain, storage / "overlay" / entry["id"] / "diff", entry["diff-size"]))
    return tuple(layers)


def chain_id(below: str, diff: str) -> str:
    """Return the OCI chain id of a layer (image-spec, config.md): what containerd names its snapshot by."""
    return f"sha256:{hashlib.sha256(f'{below} {diff}'.encode()).hexdigest()}" if below else diff


def _read(path: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(path.read_bytes())
    return entries


def _run(command_line: list[str], progress: Progress, what: str) -> None:
    tail: deque[str] = deque(maxlen=40)
    with subprocess.Popen(
        ["nice", *command_line], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            tail.append(line.rstrip())
            progress.update(f"{what}: {line.strip()}")
    if process.returncode:
        raise NodeError(f"buildah failed for {what}:\n" + "\n".join(tail))
