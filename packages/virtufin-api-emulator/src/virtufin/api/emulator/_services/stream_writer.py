"""Streams that carry events to those who subscribed, within reach of fault plans."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from virtufin.api.client._transport import Method
from virtufin.api.emulator._backends import Backend, Event
from virtufin.api.emulator._faults import FaultyStream, Injector
from virtufin.api.emulator._status_errors import invalid


class StreamWriter:
    """Writes to a stream whose headers are sent at any time, at the latest with what it writes."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._writing = asyncio.Lock()
        self._sent = False
        self.last_written = asyncio.get_running_loop().time()
        """When the last message was sent, or else this made, by the loop's clock."""

    async def send_headers(self) -> None:
        """Sends the response headers, unless they have been sent."""
        async with self._writing:
            if not self._sent:
                self._sent = True
                await self._context.send_initial_metadata(())

    async def write(self, message: Any) -> None:
        """Sends a message."""
        async with self._writing:
            self._sent = True
            await self._context.write(message)
            self.last_written = asyncio.get_running_loop().time()


@asynccontextmanager
async def opened(context: Any, stream: FaultyStream, *, hold: bool) -> AsyncIterator[StreamWriter]:
    """Sends the response headers as soon as no plan holds them back, or with `hold` not at all."""
    writer = StreamWriter(context)
    if hold:
        yield writer
        return
    if not stream.holds_headers:
        await writer.send_headers()
        yield writer
        return

    async def send_when_released() -> None:
        await stream.headers_released()
        await writer.send_headers()

    sending = asyncio.create_task(send_when_released(), name="emulator headers")
    try:
        yield writer
    finally:
        sending.cancel()
        # Where sending fails, so does the call itself.
        await asyncio.gather(sending, return_exceptions=True)


@asynccontextmanager
async def beating(
    writer: StreamWriter, stream: FaultyStream, message: Any, every: float | None
) -> AsyncIterator[None]:
    """Writes a message whenever nothing was written for `every` seconds; None for never.

    A stalled stream carries no heartbeats either; for other plans they are no events.
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
            elif stream.stalled:
                await asyncio.sleep(pause)
            else:
                await writer.write(message)

    task = asyncio.create_task(beat(every), name="emulator heartbeat")
    try:
        yield
    finally:
        task.cancel()
        # Where writing fails, so does the call itself.
        await asyncio.gather(task, return_exceptions=True)


class Delivery:
    """What all subscribing methods do."""

    def __init__(
        self, backend: Backend, faults: Injector, *, hold_headers: bool, heartbeat: float | None
    ) -> None:
        """Takes where events come from.

        Args:
            backend: It.
            faults: What goes wrong with streams.
            hold_headers: Whether response headers wait for the first event.
            heartbeat: Seconds without an event after which an empty item is sent; None for never.
        """
        self._backend = backend
        self._faults = faults
        self._hold_headers = hold_headers
        self._heartbeat = heartbeat

    async def run(
        self, context: Any, method: Method, topics: Iterable[str], item: Callable[[Event], Any]
    ) -> None:
        """Sends every event from now on until the stream ends.

        Args:
            context: The call's.
            method: What was called.
            topics: Which; none means all.
            item: Makes the message that carries an event; None where it is not to be sent.

        Raises:
            RefusedError: The call is refused, or the stream was ended.
        """
        topics = list(topics)
        await self._faults.meet(method.full_name, topics)
        if not all(topics):
            raise invalid("topics must not be empty texts")
        subscription = await self._backend.subscribe(topics)
        with subscription, self._faults.stream(subscription) as stream:
            async with (
                opened(context, stream, hold=self._hold_headers) as writer,
                beating(writer, stream, method.response(), self._heartbeat),
            ):
                stream.cut_if_due()
                while True:
                    message = item(await subscription.next())
                    if message is not None:
                        await stream.before_write()
                        await writer.write(message)
                        stream.wrote()
