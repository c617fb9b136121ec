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

    Several blocks in one process are all told, and may end in any order. In other threads than the
    main one, where Python takes no signals, it does nothing. What handled the signals before the
    first block does so again after the last.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()

    def told() -> None:
        loop.call_soon_threadsafe(call)

    handlers = [_shared(number) for number in ENDING]
    for handler in handlers:
        handler.calls.append(told)
    try:
        yield
    finally:
        for handler in handlers:
            handler.calls.remove(told)
            handler.give_back()


class _Shared:
    """The handler of one signal for all who want to be told of it."""

    def __init__(self, number: signal.Signals) -> None:
        self.calls: list[Callable[[], None]] = []
        self._number = number
        # signal.signal, not loop.add_signal_handler: that one could not be undone.
        self._before = signal.signal(number, self)

    def __call__(self, number: int, frame: object) -> None:
        for call in self.calls:
            call()

    def give_back(self) -> None:
        """Restores the handler before where nobody is left, unless there is another by now."""
        number, before = self._number, self._before
        if not self.calls and signal.getsignal(number) is self:
            # None: it was not set from Python.
            signal.signal(number, signal.SIG_DFL if before is None else before)


def _shared(number: signal.Signals) -> _Shared:
    handler = signal.getsignal(number)
    return handler if isinstance(handler, _Shared) else _Shared(number)
