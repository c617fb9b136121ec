"""How long to leave off with what failed: at first not at all, then longer each time."""

from __future__ import annotations

import time

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
