"""Which endpoints the autoscaler cares for: those in the store whose newest spec is one we act on."""

import logging

from nightlatch.api.meta import INFERENCE_ENDPOINT, NamespacedName, RawObject
from nightlatch.api.validation.parse import ParseError, parse_endpoint
from nightlatch.api.validation.unsupported import Platform, message, unsupported_in_endpoint
from nightlatch.controller.autoscaling.autoscaler import Autoscaler
from nightlatch.informer import Informer
from nightlatch.store.protocol import Store
from nightlatch.store.source import StoreSource

_log = logging.getLogger(__name__)


async def declare_endpoints(store: Store, autoscaler: Autoscaler, platform: Platform) -> None:
    """Without end. An endpoint whose new spec is not accepted keeps being cared for by the last good one."""
    await Informer(
        StoreSource(store, INFERENCE_ENDPOINT),
        lambda key, raw: _declare(autoscaler, platform, key, raw),
        name="endpoints to scale",
    ).run()


def _declare(autoscaler: Autoscaler, platform: Platform, key: NamespacedName, raw: RawObject | None) -> None:
    if raw is None:
        autoscaler.forget(key)
        return
    try:
        endpoint = parse_endpoint(raw)
    except ParseError as error:
        _log.info("%s keeps its last good scaling: %s", key, error)
        return
    if refused := unsupported_in_endpoint(endpoint, platform):
        _log.info("%s keeps its last good scaling: %s", key, message(refused))
        return
    autoscaler.declare(endpoint)
