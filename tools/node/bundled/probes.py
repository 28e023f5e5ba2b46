"""Checks whether a component answers, and whether the node is ready."""

import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

TIMEOUT_S = 2.0


def http_answers(url: str) -> bool:
    """Return whether a GET gives 2xx. The certificate is not checked, so use this on loopback only."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return _get(url, context) is not None


class ApiProbe:
    """Asks the API server as the administrator."""

    def __init__(self, server: str, certificates: Path) -> None:
        """Take the server's URL and the directory with ca.crt, admin.crt and admin.key."""
        self._server = server
        self._context = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
        self._context.load_cert_chain(certificates / "admin.crt", certificates / "admin.key")

    def answers(self, path: str) -> bool:
        """Return whether a GET of this path gives 2xx."""
        return _get(self._server + path, self._context) is not None

    def node_is_ready(self) -> bool:
        """Return whether there is a node whose condition Ready is True."""
        body = _get(f"{self._server}/api/v1/nodes", self._context)
        nodes: list[Any] = json.loads(body)["items"] if body else []
        conditions = [condition for node in nodes for condition in node["status"].get("conditions", [])]
        return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _get(url: str, context: ssl.SSLContext) -> bytes | None:
    """Return the body of a 2xx answer, None for any other."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S, context=context) as answer:
            body: bytes = answer.read()
            return body
    except (urllib.error.URLError, OSError):
        return None
