"""Emulators behind `ApiClient(host="memory:")`, which start and stop with their clients.

Each client has a lease of its emulator, from the client's first use until its end. An emulator runs
while it has leases.
"""

from __future__ import annotations

import asyncio
from typing import Any

from virtufin.api.emulator._emulator import Emulator

# Global, because clients that name the same emulator do not know each other. Keyed by event loop,
# because an emulator belongs to one. An entry is removed when its emulator ends. Weak keys would
# not help, because the emulator's server refers to its event loop.
_shared: dict[tuple[asyncio.AbstractEventLoop, str], _SharedEmulator] = {}


class MemoryLease:
    """A lease of a running emulator. The emulator runs at least until `release`."""

    def __init__(self, shared: _SharedEmulator, target: str) -> None:
        self._shared: _SharedEmulator | None = shared
        self._target = target

    @property
    def target(self) -> str:
        """The gRPC target of the emulator."""
        return self._target

    async def release(self) -> None:
        """Ends the lease. If it is the last of its emulator, stops the emulator. Idempotent."""
        shared, self._shared = self._shared, None
        if shared is not None:
            await shared.leave()


async def lease(name: str) -> MemoryLease:
    """Starts an emulator with the default settings, or shares a running one, and returns a lease.

    Args:
        name: Name of the emulator. Leases with the same name in the same event loop share an
            emulator. An emulator with an empty name is never shared.

    Returns:
        The lease, which the caller must release.

    Raises:
        OSError: The emulator could not be started.
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
        """Adds a lease, waits until the emulator is running, and returns its gRPC target.

        Raises:
            OSError: The emulator could not be started. The lease is removed then.
        """
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
        """Removes a lease. After the last, stops the emulator and waits for its end."""
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
        """Forgets the name of the emulator, so that the next lease of the name starts another."""
        if _shared.get(self._key) is self:
            del _shared[self._key]
