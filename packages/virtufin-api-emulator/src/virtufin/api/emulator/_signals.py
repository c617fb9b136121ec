"""Handlers for SIGINT and SIGTERM that end the command without a traceback at any time.

The module imports very little, because it runs first.
"""

from __future__ import annotations

import os
import signal

# Instead of typing's constant, because importing typing takes longer than this whole module.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_NUMBERS = (signal.SIGINT, signal.SIGTERM)


def leave_at_once() -> None:
    """Makes the signals end the process immediately, with the exit code that a shell reports."""
    # `os._exit` and not an exception, because an exception could occur in the middle of an import,
    # in an `except` of other code, or in a destructor.
    for number in _NUMBERS:
        signal.signal(number, lambda number, _: os._exit(128 + number))


def call_once(on_signal: Callable[[], object]) -> None:
    """Makes the first signal call a function in the main thread. Later signals are ignored.

    Args:
        on_signal: Function to call.
    """
    # Not a handler of the event loop, because the loop removes its handlers while it is being
    # closed, and a signal is a KeyboardInterrupt then.

    def handle(number: int, frame: object) -> None:
        ignore()
        on_signal()

    for number in _NUMBERS:
        signal.signal(number, handle)


def ignore() -> None:
    """Makes the process ignore the signals, because it is already ending."""
    for number in _NUMBERS:
        signal.signal(number, signal.SIG_IGN)
