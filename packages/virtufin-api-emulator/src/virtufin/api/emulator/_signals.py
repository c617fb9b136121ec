"""SIGINT and SIGTERM end the command quietly, whenever they come.

Imports next to nothing, for it is what runs first.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False  # As in typing, which takes longer to import than all of this.
if TYPE_CHECKING:
    from collections.abc import Callable

_NUMBERS = (signal.SIGINT, signal.SIGTERM)


def leave_at_once() -> None:
    """From now on they end the process on the spot, with the exit code a shell would give.

    Not by an exception: that could come up in the middle of an import, in somebody else's `except`
    or in a destructor.
    """
    for number in _NUMBERS:
        signal.signal(number, lambda number, _: os._exit(128 + number))


def call(told_to_end: Callable[[], object]) -> None:
    """From now on the first of them calls a function, in the main thread; others are ignored.

    Unlike a handler of the event loop this one is not gone, in favour of a KeyboardInterrupt,
    while the loop is being closed.
    """

    def tell(number: int, frame: object) -> None:
        ignore()
        told_to_end()

    for number in _NUMBERS:
        signal.signal(number, tell)


def ignore() -> None:
    """From now on nothing happens: the process is ending."""
    for number in _NUMBERS:
        signal.signal(number, signal.SIG_IGN)
