"""Delays between attempts. Those of subscriptions have the numbers of `ReconnectSettings`."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator


def delays(initial: float, maximum: float, multiplier: float, jitter: float) -> Iterator[float]:
    """Yields the seconds to wait before each further attempt, without end.

    Each nominal delay is `multiplier` times the previous nominal delay, capped at `maximum`. The
    yielded delay is evenly distributed between `1 - jitter` and 1 of the nominal delay.

    Args:
        initial: The first nominal delay in seconds.
        maximum: The longest nominal delay in seconds.
        multiplier: The factor from one nominal delay to the next.
        jitter: The random part of each delay, 0 to 1.
    """
    # Random, because many clients must not come back at the same time after a break.
    nominal = min(initial, maximum)
    while True:
        yield nominal * (1.0 - jitter * random.random())
        nominal = min(nominal * multiplier, maximum)


# At most a minute, because a recovery must be noticed soon.
_FIRST = 1.0
_LONGEST = 60.0


class RetryDelay:
    """A delay before the next attempt, which doubles with each failure.

    After the first failure there is no delay. After the second the delay is 1 s, then 2 s, then
    4 s, up to 60 s.
    """

    def __init__(self) -> None:
        self._until = 0.0
        self._next = 0.0

    @property
    def elapsed(self) -> bool:
        """Returns True if the delay has passed, so that another attempt may be made."""
        return time.monotonic() >= self._until

    def failed(self) -> None:
        """Starts the delay after a failed attempt; each further failure doubles the delay."""
        self._until = time.monotonic() + self._next
        self._next = min(max(2 * self._next, _FIRST), _LONGEST)

    def disable(self) -> None:
        """Allows no further attempt until `reset` is called."""
        self._until = float("inf")

    def reset(self) -> None:
        """Allows an attempt at once. The next failure counts as the first again."""
        self._until = self._next = 0.0
