"""How the API names a claim of a token, also one that lies inside another."""

ClaimPath = tuple[str, ...]

# The claim in which Kubernetes says whom a ServiceAccount token was made for.
KUBERNETES = "kubernetes.io"


def claim_path(text: str) -> ClaimPath:
    """The name of a member, then of a member in it, and so on: `realm_access.roles` is `roles` in `realm_access`.

    A claim whose name is a URL, such as `https://corp.example/roles`, is one name with all of its dots. So is the claim
    of ServiceAccount tokens: `kubernetes.io.namespace` is `namespace` in `kubernetes.io`.
    """
    if "://" in text:
        return (text,)
    if text == KUBERNETES or text.startswith(f"{KUBERNETES}."):
        return (KUBERNETES, *text.removeprefix(KUBERNETES).split(".")[1:])
    return tuple(text.split("."))
