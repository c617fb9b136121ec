"""Calling again what has just been killed."""

import asyncio

from tests.timing import UNIT
from virtufin.api.client import errors


async def until_answered(call):
    """Repeats a call until it does not fail."""
    loop = asyncio.get_running_loop()
    end = loop.time() + 60 * UNIT
    while True:
        try:
            return await call()
        except errors.VirtufinError:
            assert loop.time() < end, "it does not come back"
            await asyncio.sleep(0.05 * UNIT)
