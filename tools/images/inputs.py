"""Names an image after its inputs: the same inputs give the same reference."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.node.artifacts.debian_base import PYTHON, RUST, Base
from tools.node.paths import REPOSITORY

REGISTRY = "nightlatch.test"
COMMON = (
    "Dockerfile",
    ".dockerignore",
    "LICENSE",
    "requirements/bootstrap.txt",
    "requirements/sbom.txt",
    "tools/images/bill-of-materials",
    "tools/images/install",
)
# The paths that .dockerignore lets in.
GATE = ("gate/Cargo.toml", "gate/Cargo.lock", "gate/src", "gate/python/nightlatch_gate/__init__.py")


@dataclass(frozen=True)
class Target:
    """A target of the Dockerfile, the paths that go into it, and the build arguments that we choose.

    `bases` are the build arguments that name an image to start from, each with our own image for it.
    """

    name: str
    paths: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    bases: tuple[tuple[str, Base], ...] = (("BASE", PYTHON),)


TARGETS = {
    target.name: target
    for target in (
        Target("operator", ("requirements/operator.txt", "operator/nightlatch")),
        Target(
            "gateway",
            ("requirements/gateway.txt", "operator/nightlatch", *GATE),
            bases=(("BASE", PYTHON), ("RUST", RUST)),
        ),
        Target(
            "model-server",
            ("requirements/torch.txt", "requirements/model-server.txt", "model-server/nightlatch_server"),
            # Saves a gigabyte that no built-in architecture needs.
            ("DROP_TRITON=1",),
        ),
    )
}


def reference(target: Target) -> str:
    """Return the image's name, whose tag is 16 hex digits over all inputs."""
    bases = [(argument, base.fingerprint) for argument, base in target.bases]
    digest = hashlib.sha256(json.dumps([target.name, target.arguments, bases]).encode())
    for path in sorted(_files(target)):
        digest.update(f"\0{path.relative_to(REPOSITORY)}\0{path.stat().st_mode & 0o111:o}\0".encode())
        digest.update(path.read_bytes())
    return f"{REGISTRY}/{target.name}:{digest.hexdigest()[:16]}"


def _files(target: Target) -> Iterator[Path]:
    for name in (*COMMON, *target.paths):
        path = REPOSITORY / name
        found = path.rglob("*") if path.is_dir() else [path]
        yield from (file for file in found if file.is_file() and "__pycache__" not in file.parts)
