"""Waiting times between attempts."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator


def delays(initial: float, maximum: float, multiplier: float, jitter: float) -> Iterator[float]:
    """Yields seconds to wait before each further attempt, without end.

    Each nominal delay is `multiplier` times the one before, capped at `maximum`; what is yielded
    lies evenly between `1 - jitter` and 1 of the nominal one, so that many clients do not come
    back in step.
    """
    nominal = min(initial, maximum)
    while True:
        yield nominal * (1.0 - jitter * random.random())
        nominal = min(nominal * multiplier, maximum)


_FIRST = 1.0
_LONGEST = 60.0


class Pause:
    """A pause that doubles, from a second to a minute; the first time there is none."""

    def __init__(self) -> None:
        self._until = 0.0
        self._next = 0.0

    @property
    def over(self) -> bool:
        """Whether to try again."""
        return time.monotonic() >= self._until

    def longer(self) -> None:
        """It failed again."""
        self._until = time.monotonic() + self._next
        self._next = min(max(2 * self._next, _FIRST), _LONGEST)

    def never(self) -> None:
        """It will not change, as long as nobody says `reset`."""
        self._until = float("inf")

    def reset(self) -> None:
        """It was of use."""
        self._until = self._next = 0.0
