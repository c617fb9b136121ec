"""The signals by which a process is asked to end."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

ENDING = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def on_ending(call: Callable[[], Any]) -> Iterator[None]:
    """Calls a function in the running loop at each SIGTERM and SIGINT inside the block.

    In other threads than the main one, where Python takes no signals, it does nothing. What
    handled the signals before does so again afterwards.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()

    def told(number: int, frame: object) -> None:
        loop.call_soon_threadsafe(call)

    # signal.signal, not loop.add_signal_handler: that one could not be undone.
    before = {number: signal.signal(number, told) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            # None: it was not set from Python.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
