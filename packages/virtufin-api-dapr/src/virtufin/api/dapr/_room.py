"""A bound that many share: first come, first served."""

from __future__ import annotations

import asyncio
from collections import deque

from virtufin.api.client._deadline import Budget
from virtufin.api.client.errors import ClientClosedError

CLOSED = "the batch is closed; make a new one with publisher.batching()"


class Room:
    """A number of events, and of their bytes, that may be there at once.

    What is larger than all the bytes has room when nothing else is there.
    """

    def __init__(self, events: int, size: int) -> None:
        self._most_events = events
        self._most_bytes = size
        self._events = 0
        self._bytes = 0
        self._closed = False
        self._waiting: deque[tuple[asyncio.Future[bool], int]] = deque()

    @property
    def crowded(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiting)

    def take_now(self, size: int) -> bool:
        """Takes room for one event where there is some.

        Raises:
            ClientClosedError: The room is closed.
        """
        if self._closed:
            raise ClientClosedError(CLOSED)
        if self._waiting or not self._fits(size):
            return False
        self._add(size)
        return True

    async def take(self, size: int, budget: Budget) -> bool:
        """Waits for room for one event; whether there was some within the time.

        Raises:
            ClientClosedError: The room was closed meanwhile.
        """
        place = (asyncio.get_running_loop().create_future(), size)
        self._waiting.append(place)
        try:
            await asyncio.wait(place[:1], timeout=budget.left())
        except asyncio.CancelledError:
            if self._left(place):
                self.release(size)
            raise
        given = self._left(place)
        if self._closed:
            if given:
                self.release(size)
            raise ClientClosedError(CLOSED)
        return given

    def release(self, size: int) -> None:
        """Gives the room of one event back, to those who wait."""
        self._events -= 1
        self._bytes -= size
        self._admit()

    def close(self) -> None:
        """Sends everybody away who waits, and whoever comes."""
        self._closed = True
        while self._waiting:
            self._waiting.popleft()[0].set_result(False)

    def _left(self, place: tuple[asyncio.Future[bool], int]) -> bool:
        """Ends a wait; whether room was given."""
        if place[0].done():
            return place[0].result()
        self._waiting.remove(place)
        self._admit()
        return False

    def _admit(self) -> None:
        while self._waiting and self._fits(self._waiting[0][1]):
            waiter, size = self._waiting.popleft()
            self._add(size)
            waiter.set_result(True)

    def _fits(self, size: int) -> bool:
        return self._events == 0 or (
            self._events < self._most_events and self._bytes + size <= self._most_bytes
        )

    def _add(self, size: int) -> None:
        self._events += 1
        self._bytes += size
