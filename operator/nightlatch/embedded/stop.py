"""Ctrl-C and SIGTERM as an event; a second Ctrl-C ends the process at once."""

import asyncio
import os
import signal
from collections.abc import Callable


def on_signals(stopped: asyncio.Event, kill_children: Callable[[], object]) -> None:
    """Set `stopped` at the first SIGINT or SIGTERM. At the second, kill the children and exit with 130."""
    loop = asyncio.get_running_loop()

    def handle() -> None:
        if stopped.is_set():
            kill_children()
            os._exit(130)
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, handle)
