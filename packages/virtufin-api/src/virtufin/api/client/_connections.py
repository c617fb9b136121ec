"""Noticing that the connection to the gateway may be another one than before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import grpc
from grpc import aio

Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]


class Connections:
    """Counts them, so that what was learned from a gateway is known to be of this one."""

    def __init__(self, spawn: Spawn) -> None:
        self._spawn = spawn
        self._watch: asyncio.Task[None] | None = None
        self.count = 0
        """Goes up whenever a connection broke."""

    def broke(self) -> None:
        """Notes that a call told so."""
        self.count += 1

    def watch(self, channel: aio.Channel) -> bool:
        """Watches the channel's connection until it breaks; False where there is none."""
        if not is_connected(channel):
            return False
        if self._watch is None or self._watch.done():
            self._watch = self._spawn(self._until_it_breaks(channel), "virtufin-connection")
        return True

    async def _until_it_breaks(self, channel: aio.Channel) -> None:
        try:
            await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
        except (aio.UsageError, AssertionError):
            return  # Its owner closed it.
        self.count += 1


def is_connected(channel: aio.Channel) -> bool:
    """Whether the channel has a connection now."""
    try:
        return channel.get_state() is grpc.ChannelConnectivity.READY
    except aio.UsageError:
        return False
