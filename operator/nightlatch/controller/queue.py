"""The work queue: each key is in it once and has one worker at a time. It has backoff and a lane for revocations.

Everything is decided in plain methods, with the clock as an argument; only `next` waits.
"""

import asyncio
from collections.abc import Callable

from nightlatch.api.meta import ObjectRef

FIRST_BACKOFF = 0.05
LONGEST_BACKOFF = 60.0
# A revocation must reach every gateway within a second, so one that failed is retried before the second is over.
LONGEST_URGENT_BACKOFF = 1.0


class WorkQueue:
    """Keys to reconcile. clock: monotonic seconds. random(n): n bytes, for jitter."""

    def __init__(self, clock: Callable[[], float], random: Callable[[int], bytes]) -> None:
        self._clock = clock
        self._random = random
        # Insertion-ordered: a dict is the queue and its own deduplication.
        self._urgent: dict[ObjectRef, None] = {}
        self._normal: dict[ObjectRef, None] = {}
        self._due: dict[ObjectRef, float] = {}
        self._active: dict[ObjectRef, None] = {}
        self._again: dict[ObjectRef, bool] = {}
        self._failures: dict[ObjectRef, int] = {}
        # Being reconciled for a revocation, or failed at one: urgent until a reconcile succeeds.
        self._pressing: set[ObjectRef] = set()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._urgent) + len(self._normal) + len(self._due)

    def busy(self) -> bool:
        """Whether any key is being reconciled, or is due now."""
        self._ripen()
        return bool(self._urgent or self._normal or self._active)

    def add(self, ref: ObjectRef, *, urgent: bool = False) -> None:
        """Reconcile the key soon, an urgent key first. A key that is being reconciled is taken again afterwards."""
        if ref in self._active:
            self._again[ref] = urgent or self._again.get(ref, False)
            return
        if urgent:
            self._normal.pop(ref, None)
            self._urgent[ref] = None
        elif ref not in self._urgent:
            self._normal[ref] = None
        self._notify()

    def add_after(self, ref: ObjectRef, seconds: float) -> None:
        """Reconcile the key after so many seconds, if it is not added earlier. The earlier of two times counts."""
        due = self._clock() + max(0.0, seconds)
        self._due[ref] = min(due, self._due.get(ref, due))
        self._notify()

    def take(self, *, urgent_only: bool = False) -> ObjectRef | None:
        """The next key, which no other worker takes until `done`; None if no key is due."""
        self._ripen()
        for lane in (self._urgent,) if urgent_only else (self._urgent, self._normal):
            if lane:
                ref = next(iter(lane))
                del lane[ref]
                self._due.pop(ref, None)
                self._active[ref] = None
                if lane is self._urgent:
                    self._pressing.add(ref)
                return ref
        return None

    def done(self, ref: ObjectRef, *, failed: bool = False, requeue_after: float | None = None) -> None:
        """End the work on a key. A key that failed comes back after a growing pause; a success forgets the failures."""
        self._active.pop(ref, None)
        if failed:
            self.add_after(ref, self._backoff(ref))
        else:
            self._failures.pop(ref, None)
            self._pressing.discard(ref)
            if requeue_after is not None:
                self.add_after(ref, requeue_after)
        if ref in self._again:
            self.add(ref, urgent=self._again.pop(ref))

    def next_due(self) -> float | None:
        """Seconds until the next key is due; None if no key waits."""
        waiting = [due for ref, due in self._due.items() if ref not in self._active]
        return max(0.0, min(waiting) - self._clock()) if waiting else None

    async def next(self, *, urgent_only: bool = False) -> ObjectRef:
        """Wait for the next key and take it."""
        while (ref := self.take(urgent_only=urgent_only)) is None:
            changed = self._changed
            try:
                async with asyncio.timeout(self.next_due()):
                    await changed.wait()
            except TimeoutError:
                continue
        return ref

    def _ripen(self) -> None:
        now = self._clock()
        for ref in [ref for ref, due in self._due.items() if due <= now and ref not in self._active]:
            del self._due[ref]
            self.add(ref, urgent=ref in self._pressing)

    def _backoff(self, ref: ObjectRef) -> float:
        failures = self._failures.get(ref, 0)
        self._failures[ref] = failures + 1
        longest = LONGEST_URGENT_BACKOFF if ref in self._pressing else LONGEST_BACKOFF
        pause = min(longest, FIRST_BACKOFF * 2.0 ** min(failures, 20))
        return pause * (0.5 + int.from_bytes(self._random(4)) / 2**33)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
