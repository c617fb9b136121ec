"""One time budget for several calls."""

from __future__ import annotations

import contextvars
import time
from collections.abc import Iterator
from contextlib import contextmanager

from virtufin.api.client._validation import require_timeout
from virtufin.api.client.errors import InvalidInputError

_UNTIL: contextvars.ContextVar[float | None] = contextvars.ContextVar(
    "virtufin_deadline", default=None
)


class Deadline:
    """The budget that `deadline()` hands out."""

    def __init__(self, until: float) -> None:
        self._until = until

    def remaining(self) -> float:
        """Seconds that are left, never below zero."""
        return max(0.0, self._until - time.monotonic())

    @property
    def expired(self) -> bool:
        """Whether nothing is left."""
        return self.remaining() == 0.0


@contextmanager
def deadline(seconds: float) -> Iterator[Deadline]:
    """Gives all calls inside the block one shared budget.

    Each call sends what is left of it as its gRPC deadline, or its own `timeout` where that is
    shorter; a call that begins when nothing is left raises DeadlineExceededError unsent. Blocks
    nest: the earlier end counts. The budget goes with the context (`contextvars`), so tasks started
    inside the block share it; the client's own background tasks do not.

    Args:
        seconds: The budget, from now.

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
    if outer is not None:
        until = min(until, outer)
    token = _UNTIL.set(until)
    try:
        yield Deadline(until)
    finally:
        _UNTIL.reset(token)


class Budget:
    """What one call may take: its timeout, or what is left of `deadline()` if that is less."""

    def __init__(self, timeout: float | None) -> None:
        now = time.monotonic()
        ends = [
            end
            for end in (_UNTIL.get(), None if timeout is None else now + timeout)
            if end is not None
        ]
        self._end = min(ends) if ends else None
        self.total = None if self._end is None else max(0.0, self._end - now)

    def left(self) -> float | None:
        """Seconds that are left, never below zero; None without a limit."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def at_most(self, seconds: float, share: float = 1.0) -> float:
        """`seconds`, or that share of what is left where it is less."""
        left = self.left()
        return seconds if left is None else min(seconds, left * share)

    def part(self, seconds: float) -> Budget:
        """Returns a budget for one of several attempts, of `seconds` or what is left if less."""
        return Budget(self.at_most(seconds))
