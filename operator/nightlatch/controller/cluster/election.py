"""Leader election by Lease: one replica acts, and a replica that loses the Lease ends its process."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from nightlatch.api.meta import Kind
from nightlatch.api.names import OPERATOR_LEASE
from nightlatch.controller.cluster import lease as rules
from nightlatch.kube.client import ApiServer
from nightlatch.kube.errors import ApiServerError
from nightlatch.kube.paths import collection, item

_log = logging.getLogger(__name__)

LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")


class LeadershipLostError(Exception):
    """The Lease could not be renewed in time. Another replica may act now, so this one must stop immediately."""


class Election:
    """One candidate. `identity` must be unique among the replicas (the pod's name)."""

    def __init__(self, api: ApiServer, namespace: str, identity: str) -> None:
        self._api = api
        self._namespace = namespace
        self._identity = identity
        self._sighting: rules.Sighting | None = None
        self.leading = False

    async def lead(self, run: Callable[[], Awaitable[None]]) -> None:
        """Wait for the Lease, then run `run()` for as long as it is held. Raises LeadershipLostError.

        When `run` ends or is cancelled, the Lease is released.
        """
        while not await self._attempt():
            await asyncio.sleep(rules.RETRY_SECONDS)
        self.leading = True
        _log.info("leading", extra={"identity": self._identity})
        try:
            await self._run_while_held(run)
        finally:
            self.leading = False
            await self._release()

    async def _run_while_held(self, run: Callable[[], Awaitable[None]]) -> None:
        running = asyncio.ensure_future(run())
        renewing = asyncio.create_task(self._renew())
        try:
            done, _ = await asyncio.wait({running, renewing}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (running, renewing):
                task.cancel()
            await asyncio.gather(running, renewing, return_exceptions=True)

    async def _renew(self) -> None:
        renewed = time.monotonic()
        while True:
            await asyncio.sleep(rules.RETRY_SECONDS)
            if await self._attempt():
                renewed = time.monotonic()
            elif time.monotonic() - renewed > rules.RENEW_DEADLINE_SECONDS:
                raise LeadershipLostError(
                    f"{self._identity} could not renew the Lease {self._namespace}/{OPERATOR_LEASE}"
                )

    async def _attempt(self) -> bool:
        """Take or renew the Lease. False if another replica holds it, or if the API server refuses or is silent."""
        try:
            async with asyncio.timeout(rules.RETRY_SECONDS * 2):
                return await self._take_or_renew()
        except (ApiServerError, TimeoutError) as error:
            _log.warning("cannot read or renew the Lease", extra={"error": str(error) or "no answer in time"})
            return False

    async def _take_or_renew(self) -> bool:
        found = await self._read()
        now = time.monotonic()
        if found is not None:
            self._sighting = rules.sighting(self._sighting, found, now)
        move = rules.decide(found, self._sighting, self._identity, now)
        if move == "Wait":
            return False
        base = found or _unheld(self._namespace)
        wanted = rules.held(base, self._identity, datetime.now(UTC), taken=move != "Renew")
        await self._write(wanted, create=move == "Create")
        return True

    async def _read(self) -> dict[str, Any] | None:
        try:
            return await self._api.request("GET", item(LEASE, self._namespace, OPERATOR_LEASE))
        except ApiServerError as error:
            if error.code == 404:
                return None
            raise

    async def _write(self, lease: dict[str, Any], *, create: bool) -> None:
        """The resourceVersion that was read is the precondition, so of two candidates one is refused."""
        if create:
            await self._api.request("POST", collection(LEASE, self._namespace), body=lease)
        else:
            await self._api.request("PUT", item(LEASE, self._namespace, OPERATOR_LEASE), body=lease)

    async def _release(self) -> None:
        try:
            found = await self._read()
            if found and (found.get("spec") or {}).get("holderIdentity") == self._identity:
                await self._write(rules.released(found), create=False)
        except ApiServerError as error:
            _log.warning("could not release the Lease, it will expire", extra={"error": str(error)})


def _unheld(namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": LEASE.api_version,
        "kind": LEASE.kind,
        "metadata": {"name": OPERATOR_LEASE, "namespace": namespace},
    }
