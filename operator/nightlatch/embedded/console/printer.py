"""Follows the store and tells a person what changes, and how to make the first call."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from nightlatch.api.meta import INFERENCE_CLIENT, INFERENCE_ENDPOINT, SECRET, Kind, NamespacedName, RawObject
from nightlatch.embedded.console import credentials, snippets
from nightlatch.embedded.console.lines import EndpointView, Line, Trouble, complaints, tell, view
from nightlatch.embedded.layout import Layout
from nightlatch.informer import Informer
from nightlatch.store.protocol import Store
from nightlatch.store.source import StoreSource

# A trouble that passes by itself within this time is not told; gateways are processes that have to start first.
PATIENCE_S = 1.5
GATEWAY_PATIENCE_S = 15.0

Say = Callable[[Line], None]
# Objects that changed; None for one that is gone.
Changes = asyncio.Queue[tuple[NamespacedName, RawObject | None]]


class Storyteller:
    """See the module. Snippets are told once for each endpoint, when a client of it has its key."""

    def __init__(self, store: Store, layout: Layout, say: Say) -> None:
        self._store = store
        self._layout = layout
        self._say = say
        self._views: dict[NamespacedName, EndpointView] = {}
        self._models: dict[NamespacedName, str] = {}
        self._told: dict[NamespacedName, tuple[Trouble, ...]] = {}
        self._introduced: set[NamespacedName] = set()
        self._snippets_told = False

    async def run(self) -> None:
        """Without end."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._endpoints(group, self._changes(group, INFERENCE_ENDPOINT)))
            group.create_task(self._keys(self._changes(group, SECRET)))

    def _changes(self, group: asyncio.TaskGroup, kind: Kind) -> Changes:
        changes: Changes = asyncio.Queue()
        informer = Informer(
            StoreSource(self._store, kind), lambda key, obj: changes.put_nowait((key, obj)), name=kind.plural
        )
        group.create_task(informer.run())
        return changes

    async def _endpoints(self, group: asyncio.TaskGroup, changes: Changes) -> None:
        while True:
            key, endpoint = await changes.get()
            if endpoint is None:
                self._forget(key)
                continue
            before, after = self._views.get(key, EndpointView()), view(endpoint)
            self._views[key] = after
            self._models[key] = endpoint["spec"]["model"].get("name") or key.name
            for line in tell(key, before, after):
                self._say(line)
            if after.troubles:
                group.create_task(self._complain(key, PATIENCE_S))
                group.create_task(self._complain(key, GATEWAY_PATIENCE_S))
            await self._introduce()

    async def _complain(self, key: NamespacedName, patience_s: float) -> None:
        """Tell what is wrong if it is still so in a moment: much is only not done yet."""
        await asyncio.sleep(patience_s)
        patient = patience_s >= GATEWAY_PATIENCE_S
        seen = self._views.get(key, EndpointView())
        due = tuple(trouble for trouble in seen.troubles if patient or trouble[0] != "Programmed")
        for line in complaints(key, self._told.get(key, ()), due):
            self._say(line)
        self._told[key] = due

    def _forget(self, key: NamespacedName) -> None:
        self._views.pop(key, None)
        self._told.pop(key, None)
        self._introduced.discard(key)
        self._say(Line(f"{key} deleted"))

    async def _keys(self, changes: Changes) -> None:
        while True:
            await changes.get()
            await credentials.export(self._store, self._layout)
            await self._introduce()

    async def _introduce(self) -> None:
        """Say how to call each endpoint that is Ready and has a client with a key."""
        waiting = [key for key, seen in self._views.items() if seen.ready and key not in self._introduced]
        if not waiting:
            return
        callers = list((await self._store.list(INFERENCE_CLIENT)).items)
        for endpoint in waiting:
            directory = self._caller(callers, endpoint)
            if directory is not None and endpoint not in self._introduced:
                self._introduced.add(endpoint)
                self._tell_access(snippets.Access(self._views[endpoint].url, self._models[endpoint], directory))

    def _caller(self, callers: list[RawObject], endpoint: NamespacedName) -> Path | None:
        for client in callers:
            key = NamespacedName.of(client)
            named = {
                NamespacedName(g.get("namespace") or key.namespace, g["name"])
                for g in client["spec"].get("endpoints", [])
            }
            if endpoint in named and (self._layout.client(key) / "api-key").exists():
                return self._layout.client(key)
        return None

    def _tell_access(self, access: snippets.Access) -> None:
        self._say(Line(f"key, CA and URL for {access.url}: {access.files}"))
        if not self._snippets_told:
            self._snippets_told = True
            self._say(Line("\nwith curl:\n\n" + snippets.curl(access) + "\n"))
            self._say(Line("with Python (pip install openai httpx):\n\n" + snippets.openai(access)))
