"""The unit of all durations, and waiting for a condition."""

import asyncio
import os

UNIT = float(os.environ.get("VIRTUFIN_TEST_UNIT", "1.0"))
"""Seconds that every duration of the tests is a multiple of."""


async def until(condition, what="the condition", *, within=60):
    """Waits until a condition holds, looking at every turn.

    Args:
        condition: Returns whether it holds.
        what: Names it in the failure.
        within: Units after which it fails. A bound that only a failing test reaches: much longer
            than a loaded machine needs.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + within * UNIT
    while not condition():
        assert loop.time() < end, f"{what} did not come true"
        await asyncio.sleep(0.001)
