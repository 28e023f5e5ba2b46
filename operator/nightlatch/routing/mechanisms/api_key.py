"""API keys: the digests that a document lists become the policy by which the gate knows a key."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from nightlatch.api.scalars import Permission
from nightlatch.routing.ir import ClientIR
from nightlatch.wire.route_document import KeyGrant, RouteDocument

NAME = "apiKey"


@dataclass(frozen=True, slots=True)
class Key:
    """A key, by the SHA-256 of its text in hex, and when it is in force (Unix seconds)."""

    sha256: str
    client: str
    key_id: str
    not_before: int | None
    not_after: int | None


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """All keys of an endpoint, sorted by digest, and the clients that have them."""

    keys: tuple[Key, ...]
    clients: tuple[ClientIR, ...]
    name: str = NAME

    def value(self, places: Mapping[str, int]) -> dict[str, Any]:
        """Each key is an array, because there are many of them."""
        return {
            "keys": [[key.sha256, places[key.client], key.key_id, key.not_before, key.not_after] for key in self.keys]
        }


def from_document(document: RouteDocument) -> ApiKeys:
    """What the document says of keys. Without any, the gate refuses every key."""
    by_client = sorted(document.keys, key=lambda each: each.client)
    return ApiKeys(
        keys=tuple(
            Key(each.sha256, str(each.client), each.key_id, each.not_before, each.not_after)
            for each in sorted(document.keys, key=lambda each: each.sha256)
        ),
        clients=tuple(_client(str(name), tuple(keys)) for name, keys in groupby(by_client, lambda each: each.client)),
    )


def _client(name: str, keys: tuple[KeyGrant, ...]) -> ClientIR:
    """A client has the same permissions with each of its keys; if a document says otherwise, those that all have."""
    shared: set[Permission] = set.intersection(*(set(key.permissions) for key in keys))
    limit = next((key.tier for key in keys if key.tier), None)
    return ClientIR(name, tuple(sorted(shared)), limit)
