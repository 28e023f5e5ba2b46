"""List and watch: the one place that follows objects, for stores, for copies of Kubernetes objects and for gatekeepers.

The word is client-go's. An `Informer` lists a source, hands over what differs from what it handed over before, and
watches from the resourceVersion of the list. Its rules:

- **Resume.** A watch that ends is resumed where it ended. After a watch that expired (410 Gone) or failed, the informer
  lists again. A list is the truth, whatever was heard before it.
- **Pauses.** A list or watch that fails, or a watch that ends without having moved on, costs a pause: 1 s, doubled
  each time up to 10 s, and up to half as much again at random. A watch that moved on or lasted a minute resets it.
- **Deletion.** An object that is being deleted (`is_live`) is gone, in lists as in events. Reads of single objects must
  use the same predicate.
- **Order.** An older event never undoes a newer list or event, wherever the events come from. Versions decide: within
  one type they are comparable integers, and the version of a Deleted event is that of the deletion. Where versions
  cannot be compared, uid and generation decide.
- **Silence.** A source must end a watch that gives nothing, not even a bookmark, for 90 s. `age` is the time since
  anything was heard, so a deaf watch never looks fresh.
- **Faults.** An unexpected exception while one object is handed over is logged, and the next list hands that object
  over again. The others are not affected.
- **Logs.** One line when the source stops answering and one when it answers again.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from nightlatch.api.meta import NamespacedName, ObjectRef, RawObject

_log = logging.getLogger(__name__)

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 10.0
# A watch that lasted so long was a good one, even if nothing happened meanwhile.
GOOD_WATCH_S = 60.0


class SourceError(Exception):
    """A source did not answer, or refused. The message is fit for a log and holds no secret."""


class ExpiredError(SourceError):
    """The watch cannot be resumed from that resourceVersion any more: list again."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A consistent list and the resourceVersion to watch from.

    A list that was made of several, one for each namespace, has their versions with commas between them.
    """

    items: tuple[RawObject, ...]
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """A change, and the resourceVersion to resume from after it.

    For Deleted, `object` is the last state known and may hold no more than metadata.
    """

    type: Literal["Added", "Modified", "Deleted"]
    object: RawObject
    resource_version: str

    @property
    def ref(self) -> ObjectRef:
        """Which object changed."""
        return ObjectRef.of(self.object)


@dataclass(frozen=True, slots=True)
class Bookmark:
    """The source is alive and has told every change up to this resourceVersion."""

    resource_version: str


class Source(Protocol):
    """What an informer follows. Both raise SourceError."""

    async def list(self) -> Listing:
        """Everything there is."""

    def watch(self, since: str) -> AsyncIterator[WatchEvent | Bookmark]:
        """Changes after `since`, in order for each object. May end at any time. Raises ExpiredError."""


# Called with an object that appeared or changed, or with None for one that is gone.
OnChange = Callable[[NamespacedName, RawObject | None], None]


@dataclass(frozen=True, slots=True)
class Timing:
    """A monotonic clock, a way to wait, and random numbers from 0 to 1."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    random: Callable[[], float] = random.random


@dataclass(slots=True)
class Backoff:
    """Pauses that double from FIRST_PAUSE_S to LONGEST_PAUSE_S, each up to half as much again at random."""

    random: Callable[[], float] = random.random
    _pause_s: float = field(default=FIRST_PAUSE_S, init=False)

    def next(self) -> float:
        """Seconds to wait this time."""
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, LONGEST_PAUSE_S)
        return pause_s * (1 + self.random() / 2)

    def reset(self) -> None:
        """Start with the shortest pause again."""
        self._pause_s = FIRST_PAUSE_S


def is_live(raw: RawObject) -> bool:
    """Whether an object counts as existing: what is being deleted does not, even if a finalizer still holds it."""
    return not raw["metadata"].get("deletionTimestamp")


class Informer:
    """Follows one source; see the module.

    on_change: called for every difference. after: called when all differences of a list, or that of an event, have been
    handed over; if it raises, it is called again after a new list. name: of the source, for logs.
    """

    def __init__(
        self,
        source: Source,
        on_change: OnChange,
        *,
        name: str,
        after: Callable[[], None] = lambda: None,
        is_live: Callable[[RawObject], bool] = is_live,
        timing: Timing | None = None,
    ) -> None:
        self.name = name
        self.synced = asyncio.Event()
        # Whether the source answers. Without any attempt yet it counts as one that does.
        self.connected = True
        self._source = source
        self._on_change = on_change
        self._after = after
        self._is_live = is_live
        self._timing = timing or Timing()
        self._backoff = Backoff(self._timing.random)
        self._heard = self._timing.clock()
        self._since: str | None = None
        self._watching: asyncio.Task[None] | None = None
        self._known: dict[NamespacedName, _Seen] = {}
        # Whatever is not newer than this has been handed over.
        self._floor: int | None = None

    @property
    def age(self) -> float:
        """Seconds since the source last listed, told a change or sent a bookmark."""
        return self._timing.clock() - self._heard

    async def load(self) -> str:
        """List until the source answers, and hand over. `run` goes on from the version that this returns."""
        list_failed = False
        while True:
            try:
                listing = await self._source.list()
                # A list proves nothing about watches that fail.
                self._hear(listing.resource_version, answers=list_failed)
                self._take(listing)
            except Exception as error:  # noqa: BLE001 - a source must not end those who follow it
                list_failed = True
                self._lost(error)
                await self._timing.sleep(self._backoff.next())
            else:
                self.synced.set()
                return listing.resource_version

    async def run(self) -> None:
        """Keep up, without end."""
        while True:
            since = self._since if self._since is not None else await self.load()
            started = self._timing.clock()
            self._watching = asyncio.create_task(self._watch(since))
            try:
                await asyncio.wait({self._watching})
            finally:
                self._watching.cancel()
                await asyncio.wait({self._watching})
            if self._watching.cancelled():
                # By `relist`.
                self._since = None
                continue
            failure = self._watching.exception()
            if failure is not None and not isinstance(failure, Exception):
                raise failure
            was_good = self._since != since or self._timing.clock() - started >= GOOD_WATCH_S
            if was_good:
                self._backoff.reset()
            if failure is not None:
                self._since = None
            if failure is not None and not isinstance(failure, ExpiredError):
                # Every long watch breaks one day; that is worth a line only if the list after it fails, too.
                if not (was_good and isinstance(failure, SourceError)):
                    self._lost(failure)
            elif was_good:
                continue
            await self._timing.sleep(self._backoff.next())

    def relist(self) -> None:
        """Give up the watch, which may be deaf, and list again."""
        if self._watching:
            self._watching.cancel()

    async def _watch(self, since: str) -> None:
        async for event in self._source.watch(since):
            self._hear(event.resource_version, answers=True)
            self._take_event(event)

    def _hear(self, resource_version: str, *, answers: bool) -> None:
        self._heard = self._timing.clock()
        self._since = resource_version
        if answers and not self.connected:
            self.connected = True
            _log.info("following objects again", extra={"objects": self.name})

    def _lost(self, error: Exception) -> None:
        """The text of an unexpected error may quote what it stumbled over, so only its type is logged."""
        if self.connected:
            self.connected = False
            text = str(error) if isinstance(error, SourceError) else type(error).__name__
            _log.warning("cannot follow objects", extra={"objects": self.name, "error": text})

    def _take(self, listing: Listing) -> None:
        """What is not in the list any more is gone: no event will tell."""
        before = self._known
        listed = {NamespacedName.of(raw): raw for raw in listing.items}
        self._known = {key: _Seen.of(raw, live=self._is_live(raw)) for key, raw in listed.items()}
        self._floor = _number(listing.resource_version)
        for key in sorted(key for key, seen in before.items() if seen.live and not self._exists(key)):
            self._hand_over(key, None)
        for key, raw in listed.items():
            if self._exists(key) and self._known[key] != before.get(key):
                self._hand_over(key, raw)
        self._after()

    def _take_event(self, event: WatchEvent | Bookmark) -> None:
        if isinstance(event, Bookmark):
            self._forget_the_dead(_number(event.resource_version))
            return
        key = NamespacedName.of(event.object)
        before = self._known.get(key)
        seen = _Seen.of(event.object, live=event.type != "Deleted" and self._is_live(event.object))
        if seen.is_old(before, self._floor):
            return
        self._known[key] = seen
        if seen.live:
            self._hand_over(key, event.object)
        elif before is not None and before.live:
            self._hand_over(key, None)
        self._after()

    def _exists(self, key: NamespacedName) -> bool:
        return key in self._known and self._known[key].live

    def _forget_the_dead(self, version: int | None) -> None:
        """No event older than a bookmark follows it, so what went before it needs no memory."""
        if version is None:
            return
        self._floor = version
        self._known = {key: seen for key, seen in self._known.items() if seen.live}

    def _hand_over(self, key: NamespacedName, raw: RawObject | None) -> None:
        try:
            self._on_change(key, raw)
        except Exception as error:  # noqa: BLE001 - one object that we cannot read must not blind us to the others
            _log.error(
                "cannot handle an object",
                extra={"objects": self.name, "object": str(key), "error": type(error).__name__},
            )
            if key in self._known:
                self._known[key] = replace(self._known[key], handled=False)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What order is decided by. `handled`: False where an exception got in the way."""

    uid: str
    resource_version: str
    generation: int
    live: bool
    handled: bool = True

    @classmethod
    def of(cls, raw: RawObject, *, live: bool) -> "_Seen":
        metadata = raw["metadata"]
        return cls(metadata.get("uid", ""), metadata.get("resourceVersion", ""), metadata.get("generation", 0), live)

    def is_old(self, before: "_Seen | None", floor: int | None) -> bool:
        """Whether an event with this says nothing new after `before` and after everything up to `floor`."""
        version = _number(self.resource_version)
        if version is not None and floor is not None and version <= floor:
            return True
        if before is None:
            return False
        last = _number(before.resource_version)
        if self.uid == before.uid and self.live and self.generation < before.generation:
            return True
        if version is None or last is None:
            # A deletion is of one uid, and the object that is there may be its successor.
            return not self.live and self.uid != before.uid
        # The last version of an object may be told once more when it is deleted.
        return version < last or (version == last and (self.live or not before.live))


def _number(resource_version: str) -> int | None:
    """The version as a number, or None. Several versions with commas between them are as old as the oldest."""
    parts = resource_version.split(",")
    return min(int(part) for part in parts) if all(part.isdecimal() for part in parts) else None
