"""The response headers of a stream, which may be held back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from virtufin.api.emulator._active import FaultyStream


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
