"""The subscription people iterate."""

from __future__ import annotations

import asyncio

from virtufin.api.client._buffer import Ended
from virtufin.api.client._handle import StreamHandle
from virtufin.api.client._sentinel import NOT_GIVEN, Timeout
from virtufin.api.client._settings import CLOSE_WAIT
from virtufin.api.client._stream import EventStream
from virtufin.api.client.events import PubsubEvent


class Subscription(StreamHandle):
    """Events of some topics, for as long as you iterate.

    Connects at the first use: iteration, `ready()` or `async with`. Reconnects after an
    interruption, pauses the gateway while the consumer is slow, and loses no received event when a
    wait for the next one is cancelled (`asyncio.wait_for(anext(subscription), 1.0)` is safe).
    Letting go of the object ends it like `aclose()`.

    Example:
        >>> async def watch(client):
        ...     async with client.pubsub.subscribe_async_iter("prices") as subscription:
        ...         async for event in subscription:
        ...             print(event.topic, event.data_as_text())
    """

    def __init__(self, stream: EventStream) -> None:
        super().__init__(stream)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def ready(self, timeout: Timeout = NOT_GIVEN) -> bool:
        """Connects where that has not been done; see `StreamHandle.ready`."""
        self._start()
        return await super().ready(timeout)

    async def aclose(self) -> None:
        """Ends the subscription. What was received can still be iterated. Idempotent."""
        self._stream.stop()
        await self._stream.ended(CLOSE_WAIT)

    def __aiter__(self) -> Subscription:
        """Starts the subscription."""
        self._start()
        return self

    async def __anext__(self) -> PubsubEvent:
        """The next event."""
        self._start()
        stream = self._stream
        try:
            while True:
                item = await stream.next()
                if isinstance(item, PubsubEvent):
                    return item
        except Ended:
            raise StopAsyncIteration from None
        except asyncio.CancelledError:
            # Letting go of a subscription ends it, so the traceback must not hold it.
            del self
            raise

    async def __aenter__(self) -> Subscription:
        """Starts the subscription and waits until it is ready, 2 s at most."""
        await self.ready()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends the subscription."""
        await self.aclose()

    def _start(self) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        self._stream.start()

    def __del__(self) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed() and not self._stream.state.ended:
            loop.call_soon_threadsafe(self._stream.stop)

    def __repr__(self) -> str:
        topics = ", ".join(self.topics) or "all topics"
        return f"<Subscription {topics}: {self.state.value}>"
