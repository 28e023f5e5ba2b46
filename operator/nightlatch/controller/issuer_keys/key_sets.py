"""The newest key set of each source, fetched in a task of its own, so that no provider holds up a reconcile."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from nightlatch.api.meta import NamespacedName
from nightlatch.controller.issuer_keys.provider import ProviderError
from nightlatch.planning.issuer.key_source import Fetched, KeySource, Published

_log = logging.getLogger(__name__)

# Seconds between two attempts: after a failure, at first and at most; and after a token by an unknown key.
FIRST_RETRY, LONGEST_RETRY = 3.0, 30.0
COOLDOWN = 3.0

Fetch = Callable[[KeySource], Awaitable[Published]]


@dataclass(slots=True)
class _Followed:
    """A source, and who wants it how often (seconds)."""

    task: asyncio.Task[None] | None = None
    wanted: dict[NamespacedName, float] = field(default_factory=dict)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    fetched: Fetched | None = None

    @property
    def refresh(self) -> float:
        return min(self.wanted.values())


class KeySets:
    """For one event loop. One fetch serves all issuers of a source.

    fetch raises ProviderError. changed: called with each issuer whose source has news. wall: Unix seconds.
    """

    def __init__(self, fetch: Fetch, changed: Callable[[NamespacedName], None], wall: Callable[[], float]) -> None:
        self._fetch = fetch
        self._changed = changed
        self._wall = wall
        self._followed: dict[KeySource, _Followed] = {}
        self._sources: dict[NamespacedName, KeySource] = {}

    def want(self, issuer: NamespacedName, source: KeySource | None, refresh: float) -> Fetched | None:
        """The newest of the source, which is fetched every `refresh` seconds from now on. None: nothing came yet, or
        nothing is to be fetched any more."""
        before = self._sources.get(issuer)
        if before is not None and before != source:
            self._leave(issuer, before)
        if source is None:
            return None
        self._sources[issuer] = source
        followed = self._followed.get(source)
        if followed is None:
            followed = self._followed[source] = _Followed()
            followed.task = asyncio.create_task(self._follow(source, followed), name="the keys of a token issuer")
        shorter = refresh < min(followed.wanted.values(), default=refresh)
        followed.wanted[issuer] = refresh
        if shorter:
            followed.asked.set()
        return followed.fetched

    def look_again(self, issuer: NamespacedName) -> None:
        """A token came with a key that is not known. However many come, there is one fetch a cooldown."""
        source = self._sources.get(issuer)
        if source is not None:
            self._followed[source].asked.set()

    async def close(self) -> None:
        """End all tasks."""
        tasks = [each.task for each in self._followed.values() if each.task]
        self._followed.clear()
        self._sources.clear()
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _leave(self, issuer: NamespacedName, source: KeySource) -> None:
        del self._sources[issuer]
        followed = self._followed[source]
        followed.wanted.pop(issuer, None)
        if not followed.wanted:
            del self._followed[source]
            if followed.task:
                followed.task.cancel()

    async def _follow(self, source: KeySource, followed: _Followed) -> None:
        failures = 0
        while True:
            followed.asked.clear()
            before = followed.fetched
            followed.fetched = await self._attempt(source, before or Fetched())
            failures = failures + 1 if followed.fetched.problem else 0
            if followed.fetched != before:
                for issuer in tuple(followed.wanted):
                    self._changed(issuer)
            retry = min(FIRST_RETRY * 2 ** min(failures - 1, 10), LONGEST_RETRY) if failures else followed.refresh
            await _until_due(followed, min(retry, followed.refresh))

    async def _attempt(self, source: KeySource, before: Fetched) -> Fetched:
        try:
            published = await self._fetch(source)
        except ProviderError as error:
            _log.warning("cannot fetch the keys of an issuer", extra={"url": source.url, "error": str(error)})
            return replace(before, problem=error.finding)
        except Exception as error:  # noqa: BLE001 - a defect concerns this source alone
            _log.error(
                "cannot fetch keys because of a defect", extra={"url": source.url, "error": type(error).__name__}
            )
            return before
        return Fetched(published.content, int(self._wall()), issuer=published.issuer)


async def _until_due(followed: _Followed, pause: float) -> None:
    """Wait for so many seconds, or until somebody asks, but never less than the cooldown."""
    await asyncio.sleep(COOLDOWN)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(max(0.0, pause - COOLDOWN)):
            await followed.asked.wait()
