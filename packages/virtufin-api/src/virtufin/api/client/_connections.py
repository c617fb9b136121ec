"""Noticing that the connection to the gateway may be another one than before."""

from __future__ import annotations

import asyncio
import contextvars
import weakref
from contextlib import suppress

import grpc
from grpc import aio

CAN_WATCH = tuple(int(part) for part in grpc.__version__.split(".")[:2]) >= (1, 72)
"""With grpcio 1.66 a process hangs at its end where a client was left open with a watch pending;
1.72 is the first of those tried since in which it does not."""

_GLANCE = 0.1
"""Seconds from one look to the next at a connection that cannot be watched."""

_END = 0.1
"""Seconds that a watch may take to end once its channel is closed; it takes as long as somebody, a
caller's traceback for one, still holds a call of that channel."""


class Connections:
    """Counts them, so that what was learned from a gateway is known to be of this one."""

    def __init__(self) -> None:
        self._watch: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._over = asyncio.Event()
        self._connected: weakref.WeakSet[aio.Channel] = weakref.WeakSet()
        self.count = 0
        """Goes up whenever a connection broke."""

    def broke(self) -> None:
        """Notes that a call told so."""
        self.count += 1

    def look(self, channel: aio.Channel) -> None:
        """Notes whether a channel was connected and is no more: a watch tells that a turn later."""
        if is_connected(channel):
            self._connected.add(channel)
        elif channel in self._connected:
            self._connected.discard(channel)
            self.count += 1

    def watch(self, channel: aio.Channel, *, owned: bool) -> bool:
        """Watches the channel's connection until it breaks; False where there is none.

        A channel that is not ours is only looked at now and then: what waits for it would outlive
        the client.
        """
        connected = is_connected(channel)
        if connected:
            self._connected.add(channel)
        watchable = CAN_WATCH and owned
        watching = self._until_it_breaks if watchable else self._until_it_is_seen_broken
        if connected and not self._closed and (self._watch is None or self._watch.done()):
            self._loop = asyncio.get_running_loop()
            self._watch = contextvars.Context().run(
                self._loop.create_task,
                watching(channel),
                name="virtufin-connection",
            )
        return connected

    def stop(self) -> None:
        """Begins no further watch."""
        self._closed = True

    def abandon(self) -> None:
        """Ends the watch of a client that was dropped without being closed; from any thread."""
        self._closed = True
        if self._loop is not None and self._watch is not None:
            with suppress(RuntimeError):  # The loop is closed.
                self._loop.call_soon_threadsafe(self._watch.cancel)

    async def ended(self) -> None:
        """Waits for the end of the watch, to be awaited when its channel is closed.

        It is not cancelled before: grpc tells the event loop of its end later, and a loop that is
        closed by then fails in grpc's own code.
        """
        watch, self._watch = self._watch, None
        if watch is not None:
            self._over.set()
            await asyncio.wait((watch,), timeout=_END)
            watch.cancel()

    async def _until_it_breaks(self, channel: aio.Channel) -> None:
        with suppress(aio.UsageError, AssertionError):
            await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
        self.count += 1

    async def _until_it_is_seen_broken(self, channel: aio.Channel) -> None:
        seen = weakref.ref(channel)
        del channel
        while not self._over.is_set():
            held = seen()
            if held is None or not is_connected(held):
                break
            del held
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._over.wait(), _GLANCE)
        self.count += 1


def is_connected(channel: aio.Channel) -> bool:
    """Whether the channel has a connection now."""
    try:
        return channel.get_state() is grpc.ChannelConnectivity.READY
    except aio.UsageError:
        return False


def is_connecting(channel: aio.Channel, *, begin: bool = False) -> bool:
    """Whether the channel is about to have a connection; `begin` lets it begin to connect."""
    try:
        state = channel.get_state(try_to_connect=begin)
    except aio.UsageError:
        return False
    if begin and state is grpc.ChannelConnectivity.IDLE:
        return True
    return state is grpc.ChannelConnectivity.CONNECTING
