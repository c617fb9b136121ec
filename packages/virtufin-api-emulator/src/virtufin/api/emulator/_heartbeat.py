"""Signs of life on streams that carry no events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from virtufin.api.emulator._active import FaultyStream
from virtufin.api.emulator._headers import StreamWriter


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
