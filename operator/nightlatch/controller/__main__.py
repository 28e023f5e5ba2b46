"""`python -m nightlatch.controller --config FILE`: the operator in a cluster."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from nightlatch.controller.cluster.config import ClusterConfig, ConfigError, read_config
from nightlatch.controller.cluster.election import LeadershipLostError
from nightlatch.controller.cluster.kopf_watch import StopAskedError
from nightlatch.controller.cluster.main import run
from nightlatch.kube.errors import ApiServerError
from nightlatch.logs import log_to_stderr
from nightlatch.store.protocol import StoreError

_log = logging.getLogger("nightlatch.controller")


def main() -> int:
    """Exit status: 0 after SIGTERM, 1 if leadership or the API was lost, 2 if the configuration cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m nightlatch.controller", description="The Nightlatch operator.")
    parser.add_argument("--config", type=Path, required=True, help="JSON configuration file")
    parser.add_argument("--kubeconfig", help="use this file instead of the pod's ServiceAccount")
    arguments = parser.parse_args()
    try:
        config = read_config(arguments.config)
    except ConfigError as error:
        log_to_stderr()
        _log.error("cannot read the configuration", extra={"error": str(error)})
        return 2
    log_to_stderr(logging.getLevelNamesMapping()[config.log_level.upper()])
    # kopf logs every event that it hands on.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    return asyncio.run(_until_stopped(config, arguments.kubeconfig))


async def _until_stopped(config: ClusterConfig, kubeconfig: str | None) -> int:
    running = asyncio.ensure_future(run(config, os.environ.get("POD_NAME", "operator"), kubeconfig=kubeconfig))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    status = 0
    try:
        await _unless_cancelled(running)
    except* StopAskedError:
        _log.info("stopped")
    except* (ApiServerError, LeadershipLostError, StoreError) as group:
        status = 1
        for error in group.exceptions:
            _log.error("exiting", extra={"error": str(error)})
    return status


async def _unless_cancelled(running: "asyncio.Future[None]") -> None:
    await asyncio.wait({running})
    if running.cancelled():
        raise StopAskedError
    running.result()


if __name__ == "__main__":
    sys.exit(main())
