"""What a list or a watch selects, and what a change means to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nightlatch.api.meta import Kind, RawObject
from nightlatch.informer import WatchEvent
from nightlatch.store.files.journal import Change, ChangeType


@dataclass(frozen=True, slots=True)
class Selection:
    """Objects of a kind, in one namespace or all, with these labels."""

    kind: Kind
    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    def takes(self, labels: Mapping[str, str]) -> bool:
        """True if an object with these labels is selected."""
        return all(labels.get(key) == value for key, value in self.labels.items())

    def seen_as(self, change: Change) -> ChangeType | None:
        """What the change means here: an object that gains the labels is added, one that loses them is deleted."""
        if change.kind != self.kind.kind or self.namespace not in (None, change.namespace):
            return None
        before = change.labels if change.before is None else change.before
        was_in = change.type != "Added" and self.takes(before)
        is_in = change.type != "Deleted" and self.takes(change.labels)
        if is_in:
            return "Modified" if was_in else "Added"
        return "Deleted" if was_in else None


def deletion(kind: Kind, change: Change) -> WatchEvent:
    """The event for an object that was deleted or left the selection, with what the journal knows about it."""
    tombstone: RawObject = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {
            "name": change.name,
            "namespace": change.namespace,
            "uid": change.uid,
            "labels": dict(change.labels),
            "resourceVersion": str(change.rv),
        },
    }
    return WatchEvent("Deleted", tombstone, str(change.rv))
