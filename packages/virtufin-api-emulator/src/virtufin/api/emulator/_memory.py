"""Emulators behind `ApiClient(host="memory:")`: started with a lease, stopped after its release."""

from __future__ import annotations

import asyncio
from typing import Any

from virtufin.api.emulator._emulator import Emulator

# Global, because clients that name the same emulator do not know each other. Keyed by event loop,
# because an emulator belongs to one. An entry is removed when its emulator ends. Weak keys would
# not help, because the emulator's server refers to its event loop.
_shared: dict[tuple[asyncio.AbstractEventLoop, str], _SharedEmulator] = {}


class MemoryLease:
    """A lease of an emulator until `release`."""

    def __init__(self, shared: _SharedEmulator, target: str) -> None:
        self._shared: _SharedEmulator | None = shared
        self._target = target

    @property
    def target(self) -> str:
        """The gRPC target to connect to."""
        return self._target

    async def release(self) -> None:
        """Releases the lease. The last release stops the emulator. Idempotent."""
        shared, self._shared = self._shared, None
        if shared is not None:
            await shared.leave()


async def lease(name: str) -> MemoryLease:
    """Leases a running emulator with the default settings.

    Args:
        name: Name of the emulator. Leases with the same name in the same event loop share an
            emulator. An emulator with an empty name is never shared.
    """
    # Entries of closed loops are removed here, because their emulators did not end in order.
    loop = asyncio.get_running_loop()
    for key in [key for key in _shared if key[0].is_closed()]:
        del _shared[key]
    shared = _shared.get((loop, name)) if name else None
    if shared is None:
        shared = _SharedEmulator(name)
    return MemoryLease(shared, await shared.enter())


class _SharedEmulator:
    """An emulator and the number of its leases."""

    def __init__(self, name: str) -> None:
        loop = asyncio.get_running_loop()
        self._key = (loop, name)
        if name:
            _shared[self._key] = self
        self._users = 0
        self._target: asyncio.Future[str] = loop.create_future()
        self._unused = asyncio.Event()
        # A separate task, so that the cancellation of a client does not stop a shared emulator.
        # `asyncio.run` cancels the task at its end, which stops an emulator that was not released.
        self._task = loop.create_task(self._run(), name=f"virtufin memory:{name}")

    async def enter(self) -> str:
        """Adds a lease, waits until the emulator is running, and returns its target."""
        self._users += 1
        try:
            either: list[asyncio.Future[Any]] = [self._target, self._task]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not self._target.done():
                await self._task  # Raises the error of the start.
            return self._target.result()
        except BaseException:
            await self.leave()
            raise

    async def leave(self) -> None:
        """Removes a lease, and stops the emulator after the last one."""
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
        """Removes the name, so that the next lease of the name starts another emulator."""
        if _shared.get(self._key) is self:
            del _shared[self._key]
