"""How the API names a claim of a token, also one that lies inside another."""

ClaimPath = tuple[str, ...]


def claim_path(text: str) -> ClaimPath:
    """The name of a member, then of a member in it, and so on: `realm_access.roles` is `roles` in `realm_access`.

    A claim whose name is a URL, such as `https://corp.example/roles`, is one name with all of its dots.
    """
    return (text,) if "://" in text else tuple(text.split("."))
