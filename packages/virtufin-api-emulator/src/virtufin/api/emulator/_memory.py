"""Emulators behind `ApiClient(host="memory:")`: started when leased, stopped when given back."""

from __future__ import annotations

import asyncio
from typing import Any

from virtufin.api.emulator._emulator import Emulator

# Clients that name the same emulator know nothing of each other, so only the process can hold what
# they share. Keyed by event loop, because an emulator lives in one. An entry goes when its emulator
# ends; weak keys would not help, as the emulator's server refers to its loop.
_shared: dict[tuple[asyncio.AbstractEventLoop, str], _Shared] = {}


class MemoryLease:
    """The use of an emulator until `release`."""

    def __init__(self, shared: _Shared, target: str) -> None:
        self._shared: _Shared | None = shared
        self._target = target

    @property
    def target(self) -> str:
        """The gRPC target to connect to."""
        return self._target

    async def release(self) -> None:
        """Gives the emulator back; the last one to do so stops it. Idempotent."""
        shared, self._shared = self._shared, None
        if shared is not None:
            await shared.leave()


async def lease(name: str) -> MemoryLease:
    """Leases a running emulator with the default settings.

    Args:
        name: All leases of one name in the same event loop share an emulator; the empty name is
            never shared.
    """
    loop = asyncio.get_running_loop()
    for key in [key for key in _shared if key[0].is_closed()]:
        del _shared[key]
    shared = _shared.get((loop, name)) if name else None
    if shared is None:
        shared = _Shared(name)
    return MemoryLease(shared, await shared.enter())


class _Shared:
    """One emulator and how many use it."""

    def __init__(self, name: str) -> None:
        loop = asyncio.get_running_loop()
        self._key = (loop, name)
        if name:
            _shared[self._key] = self
        self._users = 0
        self._target: asyncio.Future[str] = loop.create_future()
        self._unused = asyncio.Event()
        # A task of its own: no user's cancellation reaches it, and `asyncio.run`, which cancels
        # what is left at its end, so stops an emulator that was never given back.
        self._task = loop.create_task(self._run(), name=f"virtufin memory:{name}")

    async def enter(self) -> str:
        """Returns the target when it is running."""
        self._users += 1
        try:
            either: list[asyncio.Future[Any]] = [self._target, self._task]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not self._target.done():
                await self._task  # Raises what it failed with.
            return self._target.result()
        except BaseException:
            await self.leave()
            raise

    async def leave(self) -> None:
        """Stops the emulator after the last user."""
        self._users -= 1
        if not self._users:
            self._forget()
            self._unused.set()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            async with Emulator() as emulator:
                self._target.set_result(emulator.target)
                await self._unused.wait()
        finally:
            self._forget()

    def _forget(self) -> None:
        """From here on the name means another emulator."""
        if _shared.get(self._key) is self:
            del _shared[self._key]
