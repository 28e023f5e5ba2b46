"""What a list or a watch asked for, and what a change is to one that asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nightlatch.api.meta import Kind, RawObject
from nightlatch.informer import WatchEvent
from nightlatch.store.files.journal import Change, ChangeType


@dataclass(frozen=True, slots=True)
class Selection:
    """A kind, one namespace or all, and labels that must be equal."""

    kind: Kind
    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    def takes(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is in it."""
        return all(labels.get(key) == value for key, value in self.labels.items())

    def seen_as(self, change: Change) -> ChangeType | None:
        """What the change is in here: an object that gains the labels is added, one that loses them deleted."""
        if change.kind != self.kind.kind or self.namespace not in (None, change.namespace):
            return None
        before = change.labels if change.before is None else change.before
        was_in = change.type != "Added" and self.takes(before)
        is_in = change.type != "Deleted" and self.takes(change.labels)
        if is_in:
            return "Modified" if was_in else "Added"
        return "Deleted" if was_in else None


def deletion(kind: Kind, change: Change) -> WatchEvent:
    """The event of an object that is gone, or out of the selection: what is known of it."""
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
