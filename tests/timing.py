"""The one unit of time, and waiting for a condition."""

import asyncio
import os

UNIT = float(os.environ.get("VIRTUFIN_TEST_UNIT", "1.0"))
"""Seconds that every duration of the tests is a multiple of."""


async def until(condition, what="the condition"):
    """Waits until a condition holds, looking at every turn of the loop."""
    loop = asyncio.get_running_loop()
    end = loop.time() + 10 * UNIT
    while not condition():
        assert loop.time() < end, f"{what} did not come true"
        await asyncio.sleep(0.001)
