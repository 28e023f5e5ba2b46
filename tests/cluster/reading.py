"""Objects read from an API server without kubectl, whose every start costs as much as a hundred requests.

Tests look again and again until something is so. With a kubectl for each look they would take one core for themselves,
and what they wait for would be late.
"""

import base64
import ssl
import tempfile
from pathlib import Path
from typing import Any

import httpx
import yaml

_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class Reader:
    """Reads as the user of a kubeconfig. Raises httpx.HTTPError where the API server cannot be reached or refuses."""

    def __init__(self, kubeconfig: str) -> None:
        config = yaml.safe_load(Path(kubeconfig).read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        context = ssl.create_default_context(cadata=_decoded(cluster["certificate-authority-data"]))
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(_decoded(user["client-certificate-data"]) + _decoded(user["client-key-data"]))
            file.flush()
            context.load_cert_chain(file.name)
        self._http = httpx.Client(base_url=cluster["server"], verify=context, timeout=30)
        self._known: dict[str, tuple[str, bool]] = {}

    def get(self, kind: str, name: str, namespace: str) -> dict[str, Any] | None:
        """One object, or None."""
        answer = self._http.get(f"{self._collection(kind, namespace)}/{name}")
        if answer.status_code == 404:
            return None
        return _shown(_body(answer))

    def list(self, kind: str, namespace: str, **selectors: str) -> list[dict[str, Any]]:
        """All objects of a kind in a namespace. selectors: labelSelector, fieldSelector."""
        body = _body(self._http.get(self._collection(kind, namespace), params=selectors))
        typed = {"apiVersion": body["apiVersion"], "kind": body["kind"].removesuffix("List")}
        return [_shown({**typed, **item}) for item in body["items"]]

    def may(self, account: str, verb: str, kind: str, namespace: str, name: str = "") -> bool:
        """What the API server's authorizer says of a ServiceAccount, which is given as `namespace:name`."""
        self._collection(kind, namespace)
        path, _ = self._known[kind]
        (own, _), prefix = account.split(":"), "system:serviceaccounts"
        group = path.split("/")[2] if path.startswith("/apis/") else ""
        what = {"group": group, "resource": path.rpartition("/")[2], "name": name}
        groups = [prefix, f"{prefix}:{own}", "system:authenticated"]
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": f"system:serviceaccount:{account}",
                "groups": groups,
                "resourceAttributes": {"namespace": namespace, "verb": verb, **what},
            },
        }
        answer = self._http.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", json=review)
        return bool(_body(answer)["status"]["allowed"])

    def _collection(self, kind: str, namespace: str) -> str:
        """The path of all objects of a kind, which has any of the names that kubectl knows for it."""
        if kind not in self._known:
            self._known = self._discovered()
        if kind not in self._known:
            raise LookupError(f"the API server has no {kind}")
        path, namespaced = self._known[kind]
        before, _, plural = path.rpartition("/")
        return f"{before}/namespaces/{namespace}/{plural}" if namespaced else path

    def _discovered(self) -> dict[str, tuple[str, bool]]:
        """The path of each kind's objects, and whether they are in namespaces, by each of its names."""
        found: dict[str, tuple[str, bool]] = {}
        for root in ("/api", "/apis"):
            for group in _body(self._http.get(root, headers={"Accept": _DISCOVERY}))["items"]:
                name, preferred = group["metadata"].get("name", ""), group["versions"][0]
                prefix = "/".join(part for part in (root, name, preferred["version"]) if part)
                for each in preferred.get("resources", ()):
                    plural, path = each["resource"], f"{prefix}/{each['resource']}"
                    for spoken in (plural, each["singularResource"], *each.get("shortNames", ()), f"{plural}.{name}"):
                        # As with kubectl, the first group that has it.
                        found.setdefault(spoken, (path, each["scope"] == "Namespaced"))
        return found


def _body(answer: httpx.Response) -> dict[str, Any]:
    answer.raise_for_status()
    body: dict[str, Any] = answer.json()
    return body


def _shown(obj: dict[str, Any]) -> dict[str, Any]:
    """As kubectl shows it: without who owns which field."""
    obj["metadata"].pop("managedFields", None)
    return obj


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode()
