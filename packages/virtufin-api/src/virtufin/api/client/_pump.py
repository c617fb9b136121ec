"""Reading one gateway stream, and moving from a silent one to its successor.

Gateways may sweep a stream that was idle for minutes without a word, which looks just like a topic
on which nothing happens. So after a while of silence a second stream is opened, and when it is
confirmed the first is left. Nothing is lost: the first is read for a moment longer, as what was on
its way before the second was registered comes over it alone. Nothing is doubled or reordered: the
second is read only after that, and what the first has brought meanwhile is skipped.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from virtufin.api.client._calls import Stream
from virtufin.api.client.errors import ClientClosedError, VirtufinError

Deliver = Callable[[Any, int], Awaitable[None]]
"""Takes a message of the stream and its size; returns when there is room for the next."""
Open = Callable[[], Awaitable[Stream]]


class Pump:
    """One gateway stream and the task that reads it."""

    def __init__(
        self,
        stream: Stream,
        deliver: Deliver,
        on_headers: Callable[[], None],
        skip: set[tuple[str, str]],
    ) -> None:
        self.stream = stream
        self._deliver = deliver
        self._on_headers = on_headers
        self._skip = skip
        self._noted: set[tuple[str, str]] | None = None
        self.last_heard = time.monotonic()
        self.task = asyncio.create_task(self._run(), name="virtufin-pump")

    def note(self) -> set[tuple[str, str]]:
        """From now on collects which events come, for a successor to skip."""
        self._noted = set()
        return self._noted

    async def stop(self) -> None:
        """Ends the reading and the stream."""
        self.task.cancel()
        await asyncio.wait((self.task,))
        await self.stream.release()

    async def _run(self) -> VirtufinError | None:
        """Reads to the end; returns what ended the stream, None for a clean end."""
        try:
            if await self.stream.headers():
                self._on_headers()
            while (received := await self.stream.next()) is not None:
                message, size = received
                self.last_heard = time.monotonic()
                if not self._is_double(message.cloudevent):
                    await self._deliver(message, size)
        except VirtufinError as error:
            return error
        return None

    def _is_double(self, event: Any) -> bool:
        if not self._skip and self._noted is None:
            return False
        key = (event.source, event.id)
        if key in self._skip:
            self._skip.discard(key)
            return True
        if self._noted is not None and event.id:
            self._noted.add(key)
        return False


class Relay:
    """Reads a stream to its end, handing over to a new one whenever it was silent for long."""

    def __init__(
        self,
        deliver: Deliver,
        open_next: Open,
        *,
        idle_limit: float | None,
        ready_wait: float,
        is_paused: Callable[[], bool],
        on_headers: Callable[[], None],
        on_handover: Callable[[bool], None],
    ) -> None:
        self._deliver = deliver
        self._on_headers = on_headers
        self._open = open_next
        self._idle_limit = idle_limit
        self._ready_wait = ready_wait
        self._is_paused = is_paused
        self._on_handover = on_handover

    async def run(self, stream: Stream) -> VirtufinError | None:
        """Reads until a stream ends with no successor; returns what ended it."""
        pump = self._pump(stream, set())
        try:
            while True:
                await asyncio.wait((pump.task,), timeout=self._patience(pump))
                if pump.task.done():
                    return pump.task.result()
                if self._patience(pump) == 0.0:
                    pump = await self._handed_over(pump)
        finally:
            await pump.stop()

    def _pump(self, stream: Stream, skip: set[tuple[str, str]]) -> Pump:
        return Pump(stream, self._deliver, self._on_headers, skip)

    def _patience(self, pump: Pump) -> float | None:
        """Seconds until the stream counts as silent; None for never."""
        if self._idle_limit is None:
            return None
        if self._is_paused() or not pump.stream.connected:
            # It is the consumer that is silent, or there is no connection yet.
            return self._idle_limit
        return max(0.0, pump.last_heard + self._idle_limit - time.monotonic())

    async def _handed_over(self, old: Pump) -> Pump:
        """The pump to go on with: a new one, or the old where that could not be had."""
        old.last_heard = time.monotonic()
        seen = old.note()
        successor = await self._successor()
        if successor is None:
            return old
        stream, confirmed = successor
        if old.task.done():
            # What was published after its end and before now may be missing: that is a gap.
            await stream.release()
            return old
        try:
            await asyncio.wait((old.task,), timeout=self._ready_wait / 2)
            broken = old.task.done() and not confirmed
            if broken or self._is_paused():
                await stream.release()
                return old
            await old.stop()
        except asyncio.CancelledError:
            await stream.release()
            raise
        self._on_handover(confirmed)
        return self._pump(stream, seen)

    async def _successor(self) -> tuple[Stream, bool] | None:
        """A second stream and whether it is confirmed; None where it failed."""
        try:
            stream = await self._open()
        except ClientClosedError:
            raise
        except VirtufinError:
            return None
        headers = asyncio.ensure_future(stream.headers())
        try:
            await asyncio.wait((headers,), timeout=self._ready_wait)
            if not headers.done():
                return stream, False
            if headers.exception() is None and headers.result():
                return stream, True
        except asyncio.CancelledError:
            await stream.release()
            raise
        finally:
            headers.cancel()
        await stream.release()
        return None
