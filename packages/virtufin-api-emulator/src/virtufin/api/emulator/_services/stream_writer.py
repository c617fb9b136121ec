"""The streams that carry events to subscribers, with fault plans and heartbeats."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from virtufin.api.client._transport import Method
from virtufin.api.emulator._backends import Backend, Event
from virtufin.api.emulator._faults import FaultyStream, Injector
from virtufin.api.emulator._status_errors import InvalidArgumentError


class StreamWriter:
    """Writes response headers and messages to one stream, from several tasks.

    Headers are sent with the first message, if not earlier.

    Args:
        context: gRPC context of the call.
    """

    def __init__(self, context: Any) -> None:
        self._context = context
        # A lock, because headers, heartbeats and events are written by different tasks.
        self._writing = asyncio.Lock()
        self._sent = False
        self.last_written = asyncio.get_running_loop().time()
        """Time of the last message, or of the creation, on the clock of the event loop."""

    async def send_headers(self) -> None:
        """Sends the response headers if they have not been sent yet."""
        async with self._writing:
            if not self._sent:
                self._sent = True
                await self._context.send_initial_metadata(())

    async def write(self, message: Any) -> None:
        """Sends a message, after any other writing has ended."""
        async with self._writing:
            self._sent = True
            await self._context.write(message)
            self.last_written = asyncio.get_running_loop().time()


@asynccontextmanager
async def open_writer(
    context: Any, stream: FaultyStream, *, hold: bool
) -> AsyncIterator[StreamWriter]:
    """Yields a writer, and sends the response headers as soon as no fault plan holds them back.

    Args:
        context: gRPC context of the call.
        stream: Stream with the plans that apply to it.
        hold: True to send the headers only with the first message, in any case.
    """
    writer = StreamWriter(context)
    if hold:
        yield writer
        return
    if not stream.holds_headers:
        await writer.send_headers()
        yield writer
        return

    async def send_when_released() -> None:
        # In a task, so that events are read and ends are noticed while the headers are held back.
        await stream.wait_for_headers()
        await writer.send_headers()

    sending = asyncio.create_task(send_when_released(), name="emulator headers")
    try:
        yield writer
    finally:
        sending.cancel()
        # Errors are ignored, because if sending fails, the call fails as well.
        await asyncio.gather(sending, return_exceptions=True)


@asynccontextmanager
async def send_heartbeats(
    writer: StreamWriter, stream: FaultyStream, message: Any, every: float | None
) -> AsyncIterator[None]:
    """Sends heartbeats while the `with` block runs.

    A stalled stream sends no heartbeats. Plans that count events do not count heartbeats.

    Args:
        writer: Writer of the stream.
        stream: Stream with the plans that apply to it.
        message: Message that is sent as a heartbeat.
        every: Seconds without a message after which a heartbeat is sent. None means no heartbeats.
    """
    if every is None:
        yield
        return

    async def beat(pause: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            left = writer.last_written + pause - loop.time()
            if left > 0:
                await asyncio.sleep(left)
            # A stalled stream waits a whole pause, because a plan gives no notice of its end here.
            elif stream.stalled:
                await asyncio.sleep(pause)
            else:
                await writer.write(message)

    task = asyncio.create_task(beat(every), name="emulator heartbeat")
    try:
        yield
    finally:
        task.cancel()
        # Errors are ignored, because if writing fails, the call fails as well.
        await asyncio.gather(task, return_exceptions=True)


class StreamServer:
    """Serves the calls of all methods that stream events to subscribers."""

    def __init__(
        self, backend: Backend, faults: Injector, *, hold_headers: bool, heartbeat: float | None
    ) -> None:
        """Does no I/O and needs no running event loop.

        Args:
            backend: Store that carries the events.
            faults: Fault plans for the calls and streams.
            hold_headers: True to send response headers only with the first event.
            heartbeat: Seconds without a message after which an empty message is sent. None means
                never.
        """
        self._backend = backend
        self._faults = faults
        self._hold_headers = hold_headers
        self._heartbeat = heartbeat

    async def serve(
        self, context: Any, method: Method, topics: Iterable[str], item: Callable[[Event], Any]
    ) -> None:
        """Serves one call: subscribes, and sends each event until the stream ends.

        Args:
            context: gRPC context of the call.
            method: The method that was called.
            topics: The subscribed topics. Empty means all topics.
            item: Function that returns the message for an event, or None if the event is not sent.

        Raises:
            StatusError: The call is rejected, or the stream was ended by the gateway or a plan.
        """
        topics = list(topics)
        await self._faults.apply(method.full_name, topics)
        if not all(topics):
            raise InvalidArgumentError("topics must not be empty texts")
        subscription = await self._backend.subscribe(topics)
        with subscription, self._faults.open_stream(subscription) as stream:
            async with (
                open_writer(context, stream, hold=self._hold_headers) as writer,
                send_heartbeats(writer, stream, method.response(), self._heartbeat),
            ):
                # Before the first event, because a plan may cut a stream after 0 events.
                stream.cut_if_due()
                while True:
                    message = item(await subscription.next())
                    if message is not None:
                        await stream.wait_before_write()
                        await writer.write(message)
                        stream.mark_written()
