"""A limiter that many tasks share: first come, first served."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

Waiter = tuple["asyncio.Future[bool]", int]
"""Someone who waits: whether capacity was granted, and for how many bytes."""


class Capacity:
    """A number of items, and of their bytes, that may be pending at once.

    An item larger than the byte limit is admitted only while nothing else is pending.
    """

    def __init__(self, items: int, size: float = float("inf")) -> None:
        """Begins empty.

        Args:
            items: The most items.
            size: The most bytes of all items; unlimited by default.
        """
        self._max_items = items
        self._max_bytes = size
        self._items = 0
        self._bytes = 0
        self._closed: Callable[[], Exception] | None = None
        self._waiting: deque[Waiter] = deque()

    @property
    def has_waiters(self) -> bool:
        """Whether anyone waits for capacity."""
        return bool(self._waiting)

    def try_acquire(self, size: int = 0) -> bool:
        """Takes capacity for one item if it is free and nobody waits; returns whether it did.

        Raises:
            Exception: As given to `close`.
        """
        if self._closed is not None:
            raise self._closed()
        if self._waiting or not self._fits(size):
            return False
        self._add(size)
        return True

    async def acquire(self, size: int = 0, timeout: float | None = None) -> bool:
        """Waits for capacity for one item, `timeout` seconds at most; returns whether it got it.

        Raises:
            Exception: As given to `close`, also if it was closed during the wait.
        """
        if self.try_acquire(size):
            return True
        waiter: Waiter = (asyncio.get_running_loop().create_future(), size)
        self._waiting.append(waiter)
        try:
            await asyncio.wait(waiter[:1], timeout=timeout)
        except asyncio.CancelledError:
            # It may have been granted in the moment of the cancellation.
            if self._was_granted(waiter):
                self.release(size)
            raise
        granted = self._was_granted(waiter)
        if self._closed is not None:
            if granted:
                self.release(size)
            raise self._closed()
        return granted

    def release(self, size: int = 0) -> None:
        """Gives the capacity of one item back, to those who wait."""
        self._items -= 1
        self._bytes -= size
        self._admit()

    def close(self, error: Callable[[], Exception]) -> None:
        """Admits nobody any more: raises a new `error` to those who wait and those who come."""
        self._closed = error
        while self._waiting:
            self._waiting.popleft()[0].set_result(False)

    def _was_granted(self, waiter: Waiter) -> bool:
        """Ends a wait; returns whether capacity was granted."""
        if waiter[0].done():
            return waiter[0].result()
        self._waiting.remove(waiter)
        self._admit()
        return False

    def _admit(self) -> None:
        while self._waiting and self._fits(self._waiting[0][1]):
            future, size = self._waiting.popleft()
            self._add(size)
            future.set_result(True)

    def _fits(self, size: int) -> bool:
        return self._items == 0 or (
            self._items < self._max_items and self._bytes + size <= self._max_bytes
        )

    def _add(self, size: int) -> None:
        self._items += 1
        self._bytes += size
