"""The gateways of a cluster, as the EndpointSlices of their report Service list them."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from nightlatch.api.meta import Kind
from nightlatch.controller.autoscaling.gateways import Address, Members
from nightlatch.kube.cache import ObjectCache
from nightlatch.kube.client import ApiServer
from nightlatch.kube.paths import collection

ENDPOINT_SLICE = Kind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")


class SliceGatewayDirectory:
    """A `nightlatch.controller.autoscaling.gateways.GatewayDirectory`. A gateway's id is the name of its pod."""

    def __init__(self, api: ApiServer, namespace: str, service: str) -> None:
        query = {"labelSelector": f"kubernetes.io/service-name={service}"}
        self._slices = ObjectCache(api, collection(ENDPOINT_SLICE, namespace), query)

    async def members(self) -> AsyncIterator[Members]:
        changed = asyncio.Event()
        self._slices.add_listener(lambda _: changed.set())
        await self._slices.synced()
        last: Members | None = None
        while True:
            changed.clear()
            now = members_of(self._slices.values())
            if now != last:
                last = now
                yield now
            await changed.wait()


def members_of(slices: Iterable[Mapping[str, Any]]) -> dict[str, Address | None]:
    """Every gateway pod in the slices, whether ready or terminating: it counts until it is gone."""
    found: dict[str, Address | None] = {}
    for piece in slices:
        port = next((port["port"] for port in piece.get("ports") or () if port.get("name") == "report"), None)
        for endpoint in piece.get("endpoints") or ():
            pod = (endpoint.get("targetRef") or {}).get("name")
            if pod:
                found[pod] = (endpoint["addresses"][0], port) if port else None
    return found
