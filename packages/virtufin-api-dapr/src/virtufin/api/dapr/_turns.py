"""Long work in the event loop, a few milliseconds at a time."""

from __future__ import annotations

import asyncio
import time

_LONGEST = 0.005
"""Seconds of work after which everybody else has a turn."""


class Turns:
    """Lets the loop turn where work has gone on without it."""

    def __init__(self) -> None:
        self._since: float | None = None

    async def pause(self) -> None:
        """Returns at once, or after a turn of the loop where it is time for one."""
        now = time.perf_counter()
        if self._since is None:
            self._since = now
            asyncio.get_running_loop().call_soon(self._turned)
        elif now - self._since > _LONGEST:
            await asyncio.sleep(0)

    def _turned(self) -> None:
        self._since = None
