"""`python -m nightlatch.gatekeeper.process.write_bootstrap`: writes the configuration of a pod's Envoy."""

import argparse
import logging
import sys
from pathlib import Path

import orjson

from nightlatch.gatekeeper.process.config import ConfigError, read_config
from nightlatch.gatekeeper.process.gate_module import UnusableGateError, envoy_binary, require_usable_gate
from nightlatch.logs import log_to_stderr
from nightlatch.routing.bootstrap import bootstrap


def main() -> int:
    """Exit status 0, or 2 if the configuration or the gate cannot be used.

    A pod runs this before Envoy, from the same image, so this is where the pod stops if Envoy and the gate do not fit.
    """
    parser = argparse.ArgumentParser(prog="python -m nightlatch.gatekeeper.process.write_bootstrap")
    parser.add_argument("--config", type=Path, required=True, help="the gatekeeper's configuration file")
    parser.add_argument("--admin-socket", type=Path, required=True, help="where Envoy's own admin interface goes")
    parser.add_argument("--output", type=Path, required=True, help="the file to write, for envoy --config-path")
    arguments = parser.parse_args()
    log_to_stderr()
    try:
        config = read_config(arguments.config)
        require_usable_gate(envoy_binary())
    except (ConfigError, UnusableGateError) as error:
        logging.getLogger("nightlatch.gatekeeper").error("cannot write the bootstrap", extra={"error": str(error)})  # noqa: TRY400
        return 2
    content = bootstrap(config.gateway, config.socket, arguments.admin_socket)
    arguments.output.write_bytes(orjson.dumps(content))
    return 0


if __name__ == "__main__":
    sys.exit(main())
