"""Handling of SIGTERM and SIGINT, which end a process, for any number of apps in the process."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Both, because a terminal sends SIGINT and the supervisor of a service sends SIGTERM.
ENDING = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def call_at_signals(call: Callable[[], Any]) -> Iterator[None]:
    """Calls a function at each SIGTERM and SIGINT while the `with` block runs.

    The function is called in the event loop that is running at the beginning of the block. If
    several blocks run in one process, each of them gets the signals. They may end in any order.
    After the last block, the signal handlers from before the first block are restored. In threads
    other than the main thread, the block has no effect.

    Args:
        call: Function without arguments.
    """
    # Only in the main thread, because Python sets and runs signal handlers nowhere else.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()

    def notify() -> None:
        # Thread-safe, because a signal handler interrupts the loop and must wake it up.
        loop.call_soon_threadsafe(call)

    handlers = [_get_shared_handler(number) for number in ENDING]
    for handler in handlers:
        handler.calls.append(notify)
    try:
        yield
    finally:
        for handler in handlers:
            handler.calls.remove(notify)
            handler.restore()


class _SharedHandler:
    """The handler of one signal. Calls the functions of all `with` blocks that are running."""

    def __init__(self, number: signal.Signals) -> None:
        self.calls: list[Callable[[], None]] = []
        self._number = number
        # signal.signal and not loop.add_signal_handler, because removing the latter does not
        # restore the handler from before.
        self._before = signal.signal(number, self)

    def __call__(self, number: int, frame: object) -> None:
        for call in self.calls:
            call()

    def restore(self) -> None:
        """Restores the handler from before this one, unless another block still needs this one."""
        number, before = self._number, self._before
        # Not if another handler is set, because that handler was set later and must stay.
        if not self.calls and signal.getsignal(number) is self:
            # SIG_DFL for None, because None means that the handler was not set from Python and
            # cannot be set again.
            signal.signal(number, signal.SIG_DFL if before is None else before)


def _get_shared_handler(number: signal.Signals) -> _SharedHandler:
    handler = signal.getsignal(number)
    return handler if isinstance(handler, _SharedHandler) else _SharedHandler(number)
