"""Writes kubeconfig files that contain their certificates, so that a copy works anywhere on this machine."""

import base64
from pathlib import Path
from typing import Any

import yaml

CONTEXT = "nightlatch"


def document(user: str, server: str, ca: bytes, certificate: bytes, key: bytes) -> dict[str, Any]:
    """Return a kubeconfig with one context named `nightlatch`; PEM bytes in, base64 inside."""
    credentials = {"client-certificate-data": _encode(certificate), "client-key-data": _encode(key)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": {"server": server, "certificate-authority-data": _encode(ca)}}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": user}}],
        "current-context": CONTEXT,
    }


def write(path: Path, content: dict[str, Any]) -> None:
    """Write a kubeconfig with mode 0600."""
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _encode(pem: bytes) -> str:
    return base64.b64encode(pem).decode("ascii")
