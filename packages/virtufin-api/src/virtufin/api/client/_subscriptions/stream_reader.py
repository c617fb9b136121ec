"""Reading one gateway stream, and moving from a silent one to its successor.

Gateways may sweep a stream that was idle for minutes without a word, which looks just like a topic
on which nothing happens. So after a while of silence a second stream is opened, and when it is
confirmed the first is left.

Nothing is lost, doubled or reordered: from the moment the second is registered it brings all that
comes; the first is read a moment longer, as what was on its way before comes over it alone; and
where it brings anything it is alive, and kept, so that nothing is ever taken from both.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from virtufin.api.client._error_mapping import from_status
from virtufin.api.client._transport import Stream
from virtufin.api.client.errors import ClientClosedError, VirtufinError

logger = logging.getLogger("virtufin.api.client.subscription")

_REFUSALS = 3
"""Successors in a row that could not be had, after which the silent stream counts as broken."""
_AT_ONCE = 0.05
"""Seconds between headers and first event, below which the headers may have waited for it."""

Deliver = Callable[[Any, int], Awaitable[None]]
"""Takes a message of the stream and its size; returns when there is room for the next."""
Open = Callable[[], Awaitable[Stream]]


class Pump:
    """One gateway stream and the task that reads it."""

    def __init__(self, stream: Stream, deliver: Deliver, on_headers: Callable[[], None]) -> None:
        self.stream = stream
        self._deliver = deliver
        self._on_headers = on_headers
        self._began = self._last_event = time.monotonic()
        self._answered: float | None = None
        self._first_event: float | None = None
        self.task = asyncio.create_task(self._run(), name="virtufin-pump")

    @property
    def answers_first(self) -> bool:
        """Whether the gateway has sent response headers without waiting for an event."""
        if self._answered is None:
            return False
        return self._first_event is None or self._first_event - self._answered > _AT_ONCE

    def silent_since(self) -> float:
        """When it last brought something, or was last given time."""
        return max(self._began, self._last_event)

    def give_time(self) -> float:
        """Counts its silence from now on; returns now."""
        self._began = time.monotonic()
        return self._began

    def spoke_after(self, moment: float) -> bool:
        """Whether it has brought an event since."""
        return self._last_event > moment

    async def stop(self) -> None:
        """Ends the stream and its reading; also where this is cancelled meanwhile."""
        self.task.cancel()
        self.stream.cancel()
        cancelled = False
        while not self.task.done():
            try:
                await asyncio.wait((self.task,))
            except asyncio.CancelledError:
                cancelled = True
        await self.stream.release()
        if cancelled:
            raise asyncio.CancelledError

    async def _run(self) -> VirtufinError | None:
        """Reads to the end; returns what ended the stream, None for a clean end."""
        try:
            if await self.stream.headers():
                self._answered = time.monotonic()
                self._on_headers()
            while (received := await self.stream.next()) is not None:
                self._last_event = time.monotonic()
                if self._first_event is None:
                    self._first_event = self._last_event
                message, size = received
                if message is not None:
                    await self._deliver(message, size)
        except VirtufinError as error:
            return error
        except asyncio.CancelledError:
            # Only `stop` does that, and asks for no result. With the traceback the task would hold
            # grpc's call, and that its channel, after both are closed.
            return None
        return None


class Reader:
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
        self._refusals = 0

    async def read(self, stream: Stream) -> VirtufinError | None:
        """Reads until a stream ends with no successor; returns what ended it."""
        self._refusals = 0
        pump = self._pump(stream)
        try:
            while True:
                await asyncio.wait((pump.task,), timeout=self._patience(pump))
                if pump.task.done():
                    return pump.task.result()
                if self._patience(pump) == 0.0:
                    pump = await self._handed_over(pump)
        except ClientClosedError:
            raise
        except VirtufinError as error:
            return error
        finally:
            await pump.stop()

    def _pump(self, stream: Stream) -> Pump:
        return Pump(stream, self._deliver, self._on_headers)

    def _patience(self, pump: Pump) -> float | None:
        """Seconds until the stream counts as silent; None for never."""
        if self._idle_limit is None:
            return None
        if self._is_paused() or not pump.stream.connected:
            # It is the consumer that is silent, or there is no connection yet.
            return self._idle_limit
        return max(0.0, pump.silent_since() + self._idle_limit - time.monotonic())

    async def _handed_over(self, old: Pump) -> Pump:
        """The pump to go on with: a new one, or the old where that is alive, or broken.

        Raises:
            VirtufinError: No successor could be had several times in a row.
        """
        began = old.give_time()
        try:
            stream, confirmed = await self._successor(old)
        except ClientClosedError:
            raise
        except VirtufinError as error:
            self._refused(old, error)
            return old
        self._refusals = 0
        taken = False
        try:
            # What was published after the old one has ended and before now would be missing.
            if not old.task.done():
                await asyncio.wait((old.task,), timeout=self._ready_wait / 2)
                alive = old.spoke_after(began) or self._is_paused()
                if not alive and (confirmed or not old.task.done()):
                    await old.stop()
                    taken = True
        finally:
            # Also where this is cancelled while the old one ends.
            if not taken:
                await stream.release()
        if not taken:
            return old
        self._on_handover(confirmed)
        return self._pump(stream)

    async def _successor(self, old: Pump) -> tuple[Stream, bool]:
        """A second stream and whether it is confirmed.

        A gateway that is known to answer at once has not registered a stream before it answers;
        of another one the stream is presumed live after a while.

        Raises:
            VirtufinError: It failed, or is not answered.
        """
        patience = self._ready_wait
        if old.answers_first and self._idle_limit is not None:
            patience = max(patience, self._idle_limit)
        stream = await self._open()
        headers = asyncio.ensure_future(stream.headers())
        usable = False
        try:
            await asyncio.wait(
                (headers, old.task), timeout=patience, return_when=asyncio.FIRST_COMPLETED
            )
            if headers.done():
                if not headers.result():
                    await stream.next()
                    raise from_status(grpc.StatusCode.OK, "the gateway ended the second stream")
            elif old.answers_first and not old.task.done():
                raise from_status(
                    grpc.StatusCode.DEADLINE_EXCEEDED,
                    f"the gateway did not answer a second stream within {patience:.3g} s",
                )
            usable = True
            return stream, headers.done()
        finally:
            if not headers.cancel() and not headers.cancelled():
                headers.exception()
            if not usable:
                await stream.release()

    def _refused(self, old: Pump, error: VirtufinError) -> None:
        """Notes that no successor could be had; raises the error where that is too often."""
        self._refusals += 1
        logger.warning(
            "nothing came for %.3g s, and no second stream could be had (%d of %d): %s",
            self._idle_limit,
            self._refusals,
            _REFUSALS,
            error,
        )
        if self._refusals >= _REFUSALS and not old.task.done():
            raise error
