"""`python -m nightlatch.gatekeeper --config FILE`."""

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from nightlatch.gatekeeper.process.config import ConfigError, read_config
from nightlatch.gatekeeper.process.service import serve
from nightlatch.logs import log_to_stderr


def main() -> int:
    """Exit status 0 after a stop that was asked for, 2 for an unusable configuration."""
    parser = argparse.ArgumentParser(
        prog="python -m nightlatch.gatekeeper", description="The gatekeeper of one gateway."
    )
    parser.add_argument("--config", type=Path, required=True, help="JSON configuration file")
    log_to_stderr()
    try:
        config = read_config(parser.parse_args().config)
        logging.getLogger().setLevel(config.log_level.upper())
        asyncio.run(serve(config))
    except (ConfigError, OSError) as error:
        logging.getLogger("nightlatch.gatekeeper").error("cannot start", extra={"error": str(error)})  # noqa: TRY400
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
