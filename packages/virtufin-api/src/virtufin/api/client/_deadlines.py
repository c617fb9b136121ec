"""Deadlines: `deadline()` limits several calls together, `Budget` is the time for one call."""

from __future__ import annotations

import contextvars
import time
from collections.abc import Iterator
from contextlib import contextmanager

from virtufin.api.client._validation import require_timeout
from virtufin.api.client.errors import InvalidInputError

# A context variable, because tasks started inside the block must share the deadline, and tasks of
# other callers must not.
_UNTIL: contextvars.ContextVar[float | None] = contextvars.ContextVar(
    "virtufin_deadline", default=None
)


class Deadline:
    """The deadline of a `with deadline(...)` block, to read the time that is left."""

    def __init__(self, until: float) -> None:
        self._until = until

    def remaining(self) -> float:
        """Returns the seconds that are left, never below zero."""
        return max(0.0, self._until - time.monotonic())

    @property
    def expired(self) -> bool:
        """Returns True if no time is left."""
        return self.remaining() == 0.0


@contextmanager
def deadline(seconds: float) -> Iterator[Deadline]:
    """Limits the total time of all calls inside a `with` block.

    Each call gets the time that is left in the block, or its own `timeout` if that is shorter. With
    no time left, a call raises DeadlineExceededError and sends nothing. Blocks can be nested; the
    deadline that ends first applies. The deadline is stored in the context (`contextvars`), so it
    also limits tasks started inside the block. It does not limit the client's background tasks.

    Args:
        seconds: The time for the whole block, in seconds from now.

    Raises:
        InvalidInputError: `seconds` is not a finite number of at least 0.

    Example:
        >>> from virtufin.api.client import deadline
        >>> async def move(client):
        ...     with deadline(5.0):
        ...         state = await client.get_state_async("workmanager", "position")
        ...         await client.save_state_async("workmanager", "copy", state["value"])
    """
    checked = require_timeout(seconds)
    if checked is None:
        raise InvalidInputError("deadline() needs a finite number of seconds")
    until = time.monotonic() + checked
    outer = _UNTIL.get()
    # The earlier end, because an inner block must not extend the outer one.
    if outer is not None:
        until = min(until, outer)
    token = _UNTIL.set(until)
    try:
        yield Deadline(until)
    finally:
        _UNTIL.reset(token)


class Budget:
    """The time that is left for one call of the user.

    The time is the call's timeout, or the rest of a surrounding `deadline()` if that is shorter.
    """

    # Slots, because each call makes one.
    __slots__ = ("end", "total")

    def __init__(self, timeout: float | None) -> None:
        now = time.monotonic()
        end = _UNTIL.get()
        if timeout is not None and (end is None or now + timeout < end):
            end = now + timeout
        self.end = end
        """The end on the monotonic clock; None means no limit."""
        self.total = None if end is None else max(0.0, end - now)

    def left(self) -> float | None:
        """Returns the seconds that are left, never below zero; None means no limit."""
        return None if self.end is None else max(0.0, self.end - time.monotonic())

    def at_most(self, seconds: float, share: float = 1.0) -> float:
        """Returns `seconds`, or `share` (0 to 1) times the time that is left if that is less."""
        left = self.left()
        return seconds if left is None else min(seconds, left * share)

    def part(self, seconds: float) -> Budget:
        """Returns a budget for one of several attempts: `seconds`, or the time left if less."""
        return Budget(self.at_most(seconds))
