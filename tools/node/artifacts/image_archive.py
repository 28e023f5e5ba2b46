"""Writes OCI image archives with one layer, without a registry or daemon. The same layer gives the same bytes."""

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path
from typing import Any

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_TYPES = "application/vnd.oci.image"


def binary_archive(reference: str, binary: Path, *, user: str = "65534:65534") -> bytes:
    """Return an archive of an image that contains and runs only `binary`."""
    layer = _tar({binary.name: binary.read_bytes()}, mode=0o755)
    return archive(reference, layer, {"Entrypoint": [f"/{binary.name}"], "User": user})


def archive(reference: str, layer: bytes, settings: dict[str, Any]) -> bytes:
    """Return an archive for `ctr images import` and buildah, of an image with one layer (which is a tar)."""
    blobs = {_digest(layer): layer}
    config = _put(blobs, _image_config(_digest(layer), settings))
    manifest = _put(
        blobs,
        {
            "schemaVersion": 2,
            "mediaType": f"{_TYPES}.manifest.v1+json",
            "config": {"mediaType": f"{_TYPES}.config.v1+json", **config},
            "layers": [{"mediaType": f"{_TYPES}.layer.v1.tar", "digest": _digest(layer), "size": len(layer)}],
        },
    )
    return _layout(reference, manifest, blobs)


def documents_archive(reference: str, manifest: bytes, config: bytes) -> bytes:
    """Return an archive of an image without its layers, for a containerd that already has them."""
    blobs = {_digest(config): config, _digest(manifest): manifest}
    return _layout(reference, {"digest": _digest(manifest), "size": len(manifest)}, blobs)


def _layout(reference: str, manifest: dict[str, Any], blobs: dict[str, bytes]) -> bytes:
    files = {f"blobs/{digest.replace(':', '/')}": content for digest, content in blobs.items()}
    return _tar({"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": _index(reference, manifest), **files})


def _image_config(layer: str, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [layer]},
        # buildah does not accept a base image whose history lacks a layer.
        "history": [{"created_by": "tools.node"}],
    }


def _index(reference: str, manifest: dict[str, Any]) -> bytes:
    names = {
        "io.containerd.image.name": reference,
        "org.opencontainers.image.ref.name": reference.rpartition(":")[2],
    }
    entry = {"mediaType": f"{_TYPES}.manifest.v1+json", **manifest, "annotations": names}
    return json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()


def _put(blobs: dict[str, bytes], document: dict[str, Any]) -> dict[str, Any]:
    content = json.dumps(document).encode()
    blobs[_digest(content)] = content
    return {"digest": _digest(content), "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _tar(files: dict[str, bytes], mode: int = 0o644) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
