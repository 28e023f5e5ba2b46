"""Events of our kinds from kopf, the only file that imports it.

Its `on.event` handlers write nothing to the cluster, unlike its others, and are called once for an event whatever
becomes of it. So a handler does no more than to hand the event on; all that must not be lost is in the queue behind.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import kopf

from nightlatch.api.meta import GROUP, OUR_KINDS, VERSION, Kind, ObjectRef, RawObject
from nightlatch.kube.client import ApiServer
from nightlatch.store.protocol import ExpiredError, WatchEvent

# A deletion that fell between two of kopf's own lists is told by nobody: list again now and then.
RELIST_SECONDS = 300.0

_TYPES: dict[str | None, Any] = {None: "Added", "ADDED": "Added", "MODIFIED": "Modified", "DELETED": "Deleted"}


class StopAskedError(Exception):
    """Somebody asked the process to end."""


class KopfEvents:
    """Run `run()` as a task; `watch` is a `nightlatch.controller.watches.Watch`.

    identity: this replica's name. namespaces: those to watch; empty: all of them.
    """

    def __init__(self, api: ApiServer, identity: str, namespaces: tuple[str, ...] = ()) -> None:
        self._api = api
        self._identity = identity
        self._namespaces = namespaces
        self._queues: dict[str, asyncio.Queue[WatchEvent]] = {kind.kind: asyncio.Queue() for kind in OUR_KINDS}

    async def run(self) -> None:
        """Until cancelled, or until SIGTERM, which kopf takes for itself. Raises StopAskedError then."""
        await kopf.operator(
            registry=self._registry(),
            settings=_settings(),
            # Its own guess needs a user name, which a container's uid has not.
            identity=self._identity,
            standalone=True,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
        )
        raise StopAskedError

    async def watch(
        self,
        kind: Kind,
        *,
        since: str,  # noqa: ARG002 - kopf resumes by itself
        labels: Mapping[str, str] | None = None,  # noqa: ARG002 - our own kinds are watched whole
    ) -> AsyncIterator[WatchEvent]:
        """See `nightlatch.controller.watches.Watch`."""
        queue = self._queues[kind.kind]
        deadline = asyncio.get_running_loop().time() + RELIST_SECONDS
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    event = await queue.get()
            except TimeoutError:
                raise ExpiredError(f"{kind.plural}: time to list again") from None
            yield event

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(self._login)
        for kind in OUR_KINDS:
            kopf.on.event(GROUP, VERSION, kind.plural, registry=registry)(self._taker(kind))
        return registry

    async def _login(self, **_: Any) -> kopf.ConnectionInfo:
        access = await self._api.access()
        scheme, _separator, token = (access.authorization or "").partition(" ")
        return kopf.ConnectionInfo(
            server=access.server,
            ca_path=access.ca_path,
            certificate_path=access.certificate_path,
            private_key_path=access.private_key_path,
            scheme=scheme or None,
            token=token or None,
        )

    def _taker(self, kind: Kind) -> Any:
        async def take(event: Mapping[str, Any], **_: Any) -> None:
            obj: RawObject = {"apiVersion": kind.api_version, "kind": kind.kind, **event["object"]}
            self._queues[kind.kind].put_nowait(WatchEvent(_TYPES[event["type"]], ObjectRef.of(obj), obj))

        return take


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    # Events are posted by us; CRDs and namespaces are known, so no right to look for them is needed.
    settings.posting.enabled = False
    settings.scanning.disabled = True
    return settings
