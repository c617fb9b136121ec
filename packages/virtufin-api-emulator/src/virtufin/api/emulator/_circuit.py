"""A circuit breaker."""

from __future__ import annotations


class Circuit:
    """Counts failed calls in a row; from a number on, calls are refused for a while."""

    def __init__(self, failures: int, open_for: float) -> None:
        self._limit = failures
        self._open_for = open_for
        self._failures = 0
        self._opened: float | None = None

    def wait(self, now: float) -> float:
        """Seconds until a call may be tried; 0 where it may be now.

        After an open circuit's time one caller gets 0, and the others wait for its outcome.
        """
        if self._opened is None:
            return 0.0
        left = self._opened + self._open_for - now
        if left > 0:
            return left
        self._opened = now
        return 0.0

    def succeeded(self) -> None:
        """The backend answered, whatever it said."""
        self._failures = 0
        self._opened = None

    def failed(self, now: float) -> None:
        """The backend did not answer."""
        self._failures += 1
        if self._failures >= self._limit:
            self._opened = now
