"""Turns Ctrl-C and SIGTERM into an event. A second one ends the process immediately."""

import asyncio
import os
import signal
from collections.abc import Callable


def on_signals(stopped: asyncio.Event, kill_children: Callable[[], object]) -> None:
    """Set `stopped` on the first SIGINT or SIGTERM. On the second, kill the children and exit with status 130."""
    loop = asyncio.get_running_loop()

    def handle() -> None:
        if stopped.is_set():
            kill_children()
            os._exit(130)
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, handle)
