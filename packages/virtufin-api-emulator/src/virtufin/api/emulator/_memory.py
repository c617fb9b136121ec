"""Emulators behind `ApiClient(host="memory:")`: started when leased, stopped when given back."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from weakref import WeakKeyDictionary

from virtufin.api.emulator._emulator import Emulator

# Clients that name the same emulator know nothing of each other, so only the process can hold what
# they share. Keyed by event loop, because an emulator lives in one, and weakly, so that a loop that
# ended without giving back takes its emulators along.
_shared: MutableMapping[asyncio.AbstractEventLoop, dict[str, _Shared]] = WeakKeyDictionary()


class MemoryLease:
    """The use of an emulator until `release`."""

    def __init__(self, shared: _Shared) -> None:
        self._shared: _Shared | None = shared
        self._target = shared.emulator.target

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
    by_name = _shared.setdefault(loop, {}) if name else {}
    if name not in by_name:
        by_name[name] = _Shared(by_name, name)
    shared = by_name[name]
    await shared.enter()
    return MemoryLease(shared)


class _Shared:
    """One emulator and how many use it."""

    def __init__(self, by_name: dict[str, _Shared], name: str) -> None:
        self._by_name = by_name
        self._name = name
        self._users = 0
        self.emulator = Emulator()
        self._started = asyncio.ensure_future(self.emulator.start())

    async def enter(self) -> None:
        """Returns when it is running."""
        self._users += 1
        try:
            # Shielded: one caller's cancellation must not take the others' emulator away.
            await asyncio.shield(self._started)
        except BaseException:
            await self.leave()
            raise

    async def leave(self) -> None:
        """Stops the emulator after the last user."""
        self._users -= 1
        if self._users:
            return
        # From here on the name means a new one.
        if self._by_name.get(self._name) is self:
            del self._by_name[self._name]
        if not self._started.done():
            self._started.cancel()
        await asyncio.wait([self._started])
        await self.emulator.stop()
