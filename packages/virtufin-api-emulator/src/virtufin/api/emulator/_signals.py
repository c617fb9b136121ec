"""Handlers of SIGINT and SIGTERM that end the command without a traceback at any time.

Apart from the command, because this module runs before anything else is imported: a signal during
the slow imports must not end in a traceback. It imports very little itself.
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
    """Makes each signal end the process at once. The exit code is 128 plus the signal number."""
    # `os._exit` and not an exception, because an exception could occur in the middle of an import,
    # in an `except` of other code, or in a destructor.
    for number in _NUMBERS:
        signal.signal(number, lambda number, _: os._exit(128 + number))


def call_once(on_signal: Callable[[], object]) -> None:
    """Makes the first SIGINT or SIGTERM call a function. Later ones are ignored.

    Args:
        on_signal: Function without arguments. It runs in the main thread and can interrupt other
            code there at any point.
    """
    # Not a handler of the event loop, because the loop removes its handlers while it is being
    # closed, and a signal is a KeyboardInterrupt then.

    def handle(number: int, frame: object) -> None:
        ignore()
        on_signal()

    for number in _NUMBERS:
        signal.signal(number, handle)


def ignore() -> None:
    """Makes the process ignore the signals from now on, for a process that is already ending."""
    for number in _NUMBERS:
        signal.signal(number, signal.SIG_IGN)
