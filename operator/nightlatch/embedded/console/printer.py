"""Follows the store and prints what changes, and how to make the first call."""

import asyncio
from collections.abc import Callable

from nightlatch.api.client import EndpointGrant
from nightlatch.api.conditions import EndpointCondition
from nightlatch.api.meta import INFERENCE_CLIENT, INFERENCE_ENDPOINT, SECRET, Kind, NamespacedName, RawObject
from nightlatch.embedded.console import credentials, snippets
from nightlatch.embedded.console.lines import EndpointView, FalseCondition, Line, condition_lines, status_lines, view
from nightlatch.embedded.layout import Layout
from nightlatch.informer import Informer
from nightlatch.store.protocol import Store
from nightlatch.store.source import StoreSource

# A condition that becomes True within this time is not shown as a failure: its work is merely not finished yet.
PATIENCE_S = 1.5
# The same for `Programmed`, which waits until the gateways' processes have started.
GATEWAY_PATIENCE_S = 15.0

Say = Callable[[Line], None]
# Objects that changed; None for one that is gone.
Changes = asyncio.Queue[tuple[NamespacedName, RawObject | None]]


class StatusPrinter:
    """Prints the status of all endpoints, and of each endpoint once how to call it, when a client of it has a key."""

    def __init__(self, store: Store, layout: Layout, say: Say) -> None:
        self._store = store
        self._layout = layout
        self._say = say
        self._views: dict[NamespacedName, EndpointView] = {}
        self._models: dict[NamespacedName, str] = {}
        # The mechanisms that each endpoint takes.
        self._takes: dict[NamespacedName, frozenset[str]] = {}
        self._shown: dict[NamespacedName, tuple[FalseCondition, ...]] = {}
        self._introduced: set[NamespacedName] = set()
        self._snippets_shown = False

    async def run(self) -> None:
        """Runs until it is cancelled."""
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
            self._takes[key] = frozenset(endpoint["spec"]["access"])
            for line in status_lines(key, before, after):
                self._say(line)
            if after.false_conditions:
                group.create_task(self._show_failures(key, PATIENCE_S))
                group.create_task(self._show_failures(key, GATEWAY_PATIENCE_S))
            await self._introduce()

    async def _show_failures(self, key: NamespacedName, patience_s: float) -> None:
        """Show the conditions that are still False after a while."""
        await asyncio.sleep(patience_s)
        patient = patience_s >= GATEWAY_PATIENCE_S
        seen = self._views.get(key, EndpointView())
        due = tuple(each for each in seen.false_conditions if patient or each[0] != EndpointCondition.PROGRAMMED)
        for line in condition_lines(key, self._shown.get(key, ()), due):
            self._say(line)
        self._shown[key] = due

    def _forget(self, key: NamespacedName) -> None:
        self._views.pop(key, None)
        self._shown.pop(key, None)
        self._introduced.discard(key)
        self._say(Line(f"{key} deleted"))

    async def _keys(self, changes: Changes) -> None:
        while True:
            await changes.get()
            await credentials.export(self._store, self._layout)
            await self._introduce()

    async def _introduce(self) -> None:
        """Show how to call each endpoint that is Ready and has a client with a credential."""
        waiting = [key for key, seen in self._views.items() if seen.ready and key not in self._introduced]
        if not waiting:
            return
        callers = list((await self._store.list(INFERENCE_CLIENT)).items)
        for endpoint in waiting:
            access = self._access(callers, endpoint)
            if access is not None and endpoint not in self._introduced:
                self._introduced.add(endpoint)
                self._show_access(access)

    def _access(self, callers: list[RawObject], endpoint: NamespacedName) -> snippets.Access | None:
        """How the first client that has what the endpoint takes reaches it."""
        takes_keys, takes_certificates = ("apiKey" in self._takes[endpoint], "mtls" in self._takes[endpoint])
        for client in callers:
            key = NamespacedName.of(client)
            grants = map(EndpointGrant.model_validate, client["spec"].get("endpoints", []))
            named = {grant.endpoint(key.namespace) for grant in grants}
            files = self._layout.credentials(key)
            key_used = takes_keys and files.key is not None
            shown = takes_certificates and files.certificate is not None
            if endpoint in named and (key_used or shown):
                url, model = self._views[endpoint].url, self._models[endpoint]
                return snippets.Access(url, model, files.directory, key_used, shown)
        return None

    def _show_access(self, access: snippets.Access) -> None:
        self._say(Line(f"credentials for {access.url}: {access.files}"))
        if not self._snippets_shown:
            self._snippets_shown = True
            self._say(Line("\nwith curl:\n\n" + snippets.curl(access) + "\n"))
            if access.key and not access.certificate:
                self._say(Line("with Python (pip install openai httpx):\n\n" + snippets.openai(access)))
