"""Hand-over between the task that reads a stream and the tasks that consume it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Ended(Exception):  # noqa: N818 - a signal like StopIteration
    """Nothing is left and nothing more will come."""


class Buffer(Generic[T]):
    """A bounded queue that never drops and loses nothing when a waiting consumer is cancelled.

    The producer appends and then awaits `room()`; once full, it waits until half has been taken,
    so that a slow consumer does not wake it for every item. An item leaves the queue in the same
    step in which its consumer gets it, so a wait cancelled at any moment leaves it in place.
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
        """Whether the producer waits for the consumer."""
        return self._drained is not None

    def append(self, item: T, size: int) -> None:
        """Adds an item of `size` bytes."""
        self._items.append((item, size))
        self._bytes += size
        self._wake()

    async def room(self) -> None:
        """Returns at once unless the queue is full; then when half of it has been taken."""
        if len(self._items) < self._max_items and self._bytes < self._max_bytes:
            return
        self._drained = asyncio.get_running_loop().create_future()
        try:
            await self._drained
        finally:
            self._drained = None

    async def get(self) -> T:
        """Takes the next item; waits for one.

        Raises:
            Ended: The queue is finished and empty.
            BaseException: What it was finished with.
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
                if not waiter.cancelled():
                    self._wake()
                elif waiter in self._waiting:
                    self._waiting.remove(waiter)
                raise
        item, size = self._items.popleft()
        self._bytes -= size
        if self._items:
            self._wake()
        if self._drained is not None and not self._drained.done() and self._half_empty():
            self._drained.set_result(None)
        return item

    def _half_empty(self) -> bool:
        few = len(self._items) <= self._max_items // 2
        return few and self._bytes <= self._max_bytes // 2

    def finish(self, error: Callable[[], BaseException] | None = None) -> None:
        """Ends the queue: its items are still handed out, then what `error` makes, or `Ended`."""
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
