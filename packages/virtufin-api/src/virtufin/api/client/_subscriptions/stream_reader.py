"""Readers of gateway streams, which switch from an idle stream to a second stream.

A gateway may drop an idle stream without notice, which looks like a topic without events. So after
some idle time the client opens a second stream. Once the second stream is confirmed, the client
switches to it, unless the first has delivered an event in the meantime.

No event is lost, doubled or reordered:

- From its registration on, the second stream delivers all new events.
- The first stream is read a moment longer, because only it delivers the events sent before that.
- If the first stream delivers an event, it is kept and the second is closed. So the client never
  takes events from both.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import grpc

from virtufin.api.client._error_mapping import from_status
from virtufin.api.client._transport import Deliver, Stream
from virtufin.api.client.errors import ClientClosedError, VirtufinError

logger = logging.getLogger("virtufin.api.client.subscription")

# Three, because a single failed attempt proves nothing about the first stream, but a stream that
# can never be replaced must not stay live for ever.
_REFUSALS = 3
"""Number of failed attempts in a row to replace an idle stream, after which it is given up."""
# Not zero, because some gateways send headers only with the first event, just before the event.
_AT_ONCE = 0.05
"""Largest time in seconds from headers to first event at which both count as sent together."""

Open = Callable[[], Awaitable[Stream]]


class StreamReader:
    """A gateway stream and its reader task."""

    def __init__(self, stream: Stream, deliver: Deliver, on_headers: Callable[[], None]) -> None:
        self.stream = stream
        self._deliver = deliver
        self._on_headers = on_headers
        self._restarted_at = time.monotonic()
        self._answered_at: float | None = None
        self.task = asyncio.create_task(self._run(), name="virtufin-reader")

    @property
    def answers_before_events(self) -> bool:
        """Returns whether the gateway sent response headers before the first event."""
        if self._answered_at is None:
            return False
        first = self.stream.first_message_at
        return first is None or first - self._answered_at > _AT_ONCE

    def idle_since(self) -> float:
        """Returns the time, on the monotonic clock, from which the idle time is counted."""
        return max(self._restarted_at, self.stream.last_message_at or 0.0)

    def restart_idle_time(self) -> float:
        """Starts to count the idle time again, and returns the current time."""
        self._restarted_at = time.monotonic()
        return self._restarted_at

    def has_event_after(self, moment: float) -> bool:
        """Returns True if an event or heartbeat came after a time on the monotonic clock."""
        last = self.stream.last_message_at
        return last is not None and last > moment

    async def stop(self) -> None:
        """Ends and releases the stream, and waits for the end of the reader task."""
        self.task.cancel()
        self.stream.cancel()
        cancelled = False
        # Waits in spite of a cancellation, because a stream left open would stay registered at the
        # gateway, which buffers events for it. The cancellation is raised afterwards.
        while not self.task.done():
            try:
                await asyncio.wait((self.task,))
            except asyncio.CancelledError:
                cancelled = True
        await self.stream.release()
        if cancelled:
            raise asyncio.CancelledError

    async def _run(self) -> VirtufinError | None:
        """Reads to the end; returns the error that ended the stream, or None for a clean end."""
        try:
            if await self.stream.headers():
                self._answered_at = time.monotonic()
                self._on_headers()
            await self.stream.read(self._deliver)
        except VirtufinError as error:
            return error
        except asyncio.CancelledError:
            # Swallowed, because only `stop` cancels this task and needs no result. The traceback of
            # a CancelledError would keep grpc's call and its channel alive after both are closed.
            return None
        return None


class HandoverReader:
    """A reader that switches to a new stream when the current one is idle for too long."""

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
        """Reads a stream, and then each stream that replaces it. Releases all of them.

        Returns:
            The error that ended the last stream, or the error of opening a replacement after
            several failures in a row. None for a clean end.

        Raises:
            ClientClosedError: The client or the channel was closed.
        """
        self._refusals = 0
        reader = self._make_reader(stream)
        try:
            while True:
                await asyncio.wait((reader.task,), timeout=self._time_until_idle(reader))
                if reader.task.done():
                    return reader.task.result()
                if self._time_until_idle(reader) == 0.0:
                    reader = await self._hand_over(reader)
        except ClientClosedError:
            raise
        except VirtufinError as error:
            return error
        finally:
            await reader.stop()

    def _make_reader(self, stream: Stream) -> StreamReader:
        return StreamReader(stream, self._deliver, self._on_headers)

    def _time_until_idle(self, reader: StreamReader) -> float | None:
        """Returns the seconds until the stream counts as idle; None for never."""
        if self._idle_limit is None:
            return None
        if self._is_paused() or not reader.stream.connected:
            # Not idle, because the consumer pauses the stream, or there is no connection yet.
            return self._idle_limit
        return max(0.0, reader.idle_since() + self._idle_limit - time.monotonic())

    async def _hand_over(self, old: StreamReader) -> StreamReader:
        """Opens a second stream, and decides which stream to keep reading.

        Returns:
            The reader of the new stream. `old` if no second stream could be opened, or if the
            stream of `old` has delivered an event or has ended in the meantime.

        Raises:
            VirtufinError: Opening a second stream failed several times in a row.
        """
        began = old.restart_idle_time()
        try:
            stream, confirmed = await self._open_successor(old)
        except ClientClosedError:
            raise
        except VirtufinError as error:
            self._count_refusal(old, error)
            return old
        self._refusals = 0
        taken = False
        try:
            # No switch if the old stream has ended, because events published between that end and
            # the registration of the new stream are a gap, which must be reported.
            if not old.task.done():
                await asyncio.wait((old.task,), timeout=self._ready_wait / 2)
                alive = old.has_event_after(began) or self._is_paused()
                if not alive and (confirmed or not old.task.done()):
                    await old.stop()
                    taken = True
        finally:
            # In a `finally`, because a cancellation while the old stream ends would leave the new
            # stream open at the gateway.
            if not taken:
                await stream.release()
        if not taken:
            return old
        self._on_handover(confirmed)
        return self._make_reader(stream)

    async def _open_successor(self, old: StreamReader) -> tuple[Stream, bool]:
        """Opens a second stream.

        Returns:
            The stream, and whether the gateway has confirmed it.

        Raises:
            VirtufinError: The stream failed, or a gateway that answers at once did not answer.
        """
        wait = self._ready_wait
        # Longer for a gateway that answers at once, because it has not registered a stream before
        # it answers. Streams of other gateways are assumed to be live after `ready_wait`.
        if old.answers_before_events and self._idle_limit is not None:
            wait = max(wait, self._idle_limit)
        stream = await self._open()
        headers = asyncio.ensure_future(stream.headers())
        usable = False
        try:
            await asyncio.wait(
                (headers, old.task), timeout=wait, return_when=asyncio.FIRST_COMPLETED
            )
            if headers.done():
                if not headers.result():
                    await stream.read(lambda _message, _size: None)
                    raise from_status(grpc.StatusCode.OK, "the gateway ended the second stream")
            elif old.answers_before_events and not old.task.done():
                raise from_status(
                    grpc.StatusCode.DEADLINE_EXCEEDED,
                    f"the gateway did not answer a second stream within {wait:.3g} s",
                )
            usable = True
            return stream, headers.done()
        finally:
            # Retrieved, because asyncio logs an exception that nothing has retrieved.
            if not headers.cancel() and not headers.cancelled():
                headers.exception()
            if not usable:
                await stream.release()

    def _count_refusal(self, old: StreamReader, error: VirtufinError) -> None:
        """Counts a failure to open a second stream, and raises the error after the third."""
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
