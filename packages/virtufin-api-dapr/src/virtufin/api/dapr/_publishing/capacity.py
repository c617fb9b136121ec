"""A limiter that many tasks share. Tasks acquire capacity in the order in which they came."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

Waiter = tuple["asyncio.Future[bool]", int]
"""A waiting task: a future, and the bytes that the task requests.

The future is set to True when the capacity is acquired for the task, and to False when the limiter
is closed.
"""


class Capacity:
    """A limiter for the number of pending items and for their total size in bytes.

    An item is pending from the acquisition of its capacity until the release. An item larger than
    the byte limit is admitted only while no other item is pending.
    """

    def __init__(self, items: int, size: float = float("inf")) -> None:
        """Creates a limiter with no pending items.

        Args:
            items: Largest number of pending items.
            size: Largest total size of pending items in bytes. If omitted, no limit.
        """
        self._max_items = items
        self._max_bytes = size
        self._items = 0
        self._bytes = 0
        self._closed: Callable[[], Exception] | None = None
        self._waiting: deque[Waiter] = deque()

    @property
    def has_waiters(self) -> bool:
        """Returns whether any task waits for capacity."""
        return bool(self._waiting)

    @property
    def closed(self) -> bool:
        """Returns whether the limiter is closed."""
        return self._closed is not None

    def try_acquire(self, size: int = 0) -> bool:
        """Acquires capacity for an item if that needs no wait.

        Args:
            size: Size of the item in bytes. If omitted, 0.

        Returns:
            True if the capacity was acquired; the caller must then release it. False if the item
            does not fit now, or if other tasks are waiting.

        Raises:
            Exception: The limiter is closed; the error passed to `close`.
        """
        if self._closed is not None:
            raise self._closed()
        # Refused while tasks wait, because a newcomer must not overtake them.
        if self._waiting or not self._fits(size):
            return False
        self._add(size)
        return True

    async def acquire(self, size: int = 0, timeout: float | None = None) -> bool:
        """Acquires capacity for an item, after a wait if necessary.

        Args:
            size: Size of the item in bytes. If omitted, 0.
            timeout: Longest wait in seconds. None means no limit.

        Returns:
            True if the capacity was acquired; the caller must then release it. False if the timeout
            has passed.

        Raises:
            Exception: The limiter is closed, or was closed during the wait; the error passed to
                `close`.
        """
        if self.try_acquire(size):
            return True
        waiter: Waiter = (asyncio.get_running_loop().create_future(), size)
        self._waiting.append(waiter)
        try:
            await asyncio.wait(waiter[:1], timeout=timeout)
        except asyncio.CancelledError:
            # Released, because the capacity may have been acquired just before the cancellation.
            if self._end_wait(waiter):
                self.release(size)
            raise
        acquired = self._end_wait(waiter)
        if self._closed is not None:
            # Released, because the capacity may have been acquired just before the closing.
            if acquired:
                self.release(size)
            raise self._closed()
        return acquired

    def release(self, size: int = 0, items: int = 1) -> None:
        """Releases the capacity of items and admits waiting tasks.

        Args:
            size: Size of the items in bytes, as acquired.
            items: Number of items.
        """
        self._items -= items
        self._bytes -= size
        if self._waiting:
            self._admit()

    def close(self, error: Callable[[], Exception]) -> None:
        """Closes the limiter. `acquire` and `try_acquire` raise from now on, also in waiting tasks.

        Args:
            error: Function that returns the error to raise. Called once for each task, because an
                error that is raised twice would mix the tracebacks.
        """
        self._closed = error
        while self._waiting:
            self._waiting.popleft()[0].set_result(False)

    def _end_wait(self, waiter: Waiter) -> bool:
        """Ends the wait of a task and returns whether the capacity was acquired for the task."""
        if waiter[0].done():
            return waiter[0].result()
        self._waiting.remove(waiter)
        # Because the tasks behind a large item may fit now that the item has left the queue.
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
