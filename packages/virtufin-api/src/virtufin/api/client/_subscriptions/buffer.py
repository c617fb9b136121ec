"""A buffer with limits, between the task that reads a stream and the tasks that take its events."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Ended(Exception):  # noqa: N818 - a signal like StopIteration
    """A signal that the buffer is empty and will get no more items."""


class Buffer(Generic[T]):
    """A queue that makes its producer wait when it is full, and never loses an item.

    The producer appends an item and then calls `room()`. If the queue is full, `room()` returns a
    future, which the producer awaits before it appends the next item. The future is done when the
    queue is half empty. An item leaves the queue in the same step in which its consumer gets it, so
    cancelling a waiting consumer leaves the item in the queue.
    """

    def __init__(self, max_items: int, max_bytes: int) -> None:
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._items: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._drained: asyncio.Future[None] | None = None
        self._finished = False
        self._error: Callable[[], BaseException] | None = None

    def __len__(self) -> int:
        return len(self._items)

    @property
    def paused(self) -> bool:
        """Returns True while the producer waits until the queue is half empty."""
        # Also checked with `done`, because a producer that is cancelled cancels the future.
        return self._drained is not None and not self._drained.done()

    def append(self, item: T, size: int) -> None:
        """Adds an item of `size` bytes."""
        # Accepted even if full, because a received event must not be dropped; `room` makes the
        # producer wait instead.
        self._items.append((item, size))
        self._bytes += size
        if self._waiting:
            self._wake()

    def room(self) -> asyncio.Future[None] | None:
        """Returns a future that the producer must await; None if the queue is not full."""
        # Half, because a slow consumer would otherwise wake the producer for every item.
        if len(self._items) < self._max_items and self._bytes < self._max_bytes:
            return None
        self._drained = asyncio.get_running_loop().create_future()
        return self._drained

    def count(self, kind: type) -> int:
        """Returns the number of items of a type in the queue."""
        return sum(isinstance(item, kind) for item, _ in self._items)

    async def get(self) -> T:
        """Waits for the next item and takes it from the queue.

        Raises:
            Ended: The queue is finished and empty.
            BaseException: The error with which the queue was finished, once the queue is empty.
        """
        while not self._items:
            if self._finished:
                if self._error is not None:
                    raise self._error()
                raise Ended
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                # Another consumer is woken, because this one was woken for an item that it will
                # not take.
                if not waiter.cancelled():
                    self._wake()
                elif waiter in self._waiting:
                    self._waiting.remove(waiter)
                raise
        item, size = self._items.popleft()
        self._bytes -= size
        if self._items and self._waiting:
            self._wake()
        drained = self._drained
        if drained is not None and self._half_empty():
            self._drained = None
            if not drained.done():
                drained.set_result(None)
        return item

    def _half_empty(self) -> bool:
        few = len(self._items) <= self._max_items // 2
        return few and self._bytes <= self._max_bytes // 2

    def finish(self, error: Callable[[], BaseException] | None = None) -> None:
        """Ends the queue; consumers get the remaining items and then an error.

        Args:
            error: A function that makes the error to raise; None for `Ended`. A function, because
                each consumer must get an error object of its own.
        """
        if self._finished:
            return
        self._finished = True
        self._error = error
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)

    def _wake(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
