"""URL paths of objects."""

from nightlatch.api.meta import Kind


def collection(kind: Kind, namespace: str | None) -> str:
    """Path of all objects of a kind, in one namespace or in all (None)."""
    base = f"/api/{kind.api_version}" if "/" not in kind.api_version else f"/apis/{kind.api_version}"
    scope = f"/namespaces/{namespace}" if namespace is not None else ""
    return f"{base}{scope}/{kind.plural}"


def item(kind: Kind, namespace: str, name: str) -> str:
    """Path of one namespaced object."""
    return f"{collection(kind, namespace)}/{name}"
