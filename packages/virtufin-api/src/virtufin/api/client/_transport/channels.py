"""The pool of gRPC channels, and leases, which each reserve a slot on a channel for one call."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc
from grpc import aio

from virtufin.api.client._types import Metadata

# Below 100, because servers commonly allow 100 calls per connection and then reject further calls
# or let them wait without notice.
CALLS_PER_CONNECTION = 80
"""The number of calls or streams on one channel at which the next channel is opened."""

# Checked, because grpcio 1.78 fixed the hang that `drain_notifications` prevents.
_MAY_HANG = tuple(int(part) for part in grpc.__version__.split(".")[:2]) < (1, 78)
_MOST_UNREAD = 300
# A second, because the server counts a cancelled call until it has seen the cancellation.
_STILL_COUNTED = 1.0


async def drain_notifications() -> None:
    """Lets the event loop read grpc's pending notifications; prevents a hang before grpcio 1.78.

    Await this after closing a channel or server, while a reference to the object still exists.
    """
    if _MAY_HANG:
        # Turns of the loop, because grpc's polling thread writes one byte for each event to a
        # socket pair, and the loop reads one byte a turn. If the last channel is destroyed while
        # that thread waits to write to the full socket pair, as after a burst of calls, the loop
        # waits for the thread and the thread for the loop.
        for _ in range(_MOST_UNREAD):
            await asyncio.sleep(0)


class Lease:
    """A slot for one call or stream on a channel, reserved until `release` is called."""

    # Slots, because each call makes one.
    __slots__ = ("_connection", "callables", "channel", "metadata", "was_connected")

    def __init__(self, connection: _Connection, metadata: Metadata) -> None:
        connection.calls += 1
        self._connection: _Connection | None = connection
        self.channel = connection.channel
        self.callables = connection.callables
        """The objects of grpc that start calls, by method path; made at a method's first call."""
        self.metadata = metadata
        """The headers of the call."""
        self.was_connected = is_connected(self.channel)
        """True if the channel had a connection when the lease was taken."""

    def release(self) -> None:
        """Releases the slot; does nothing the second time."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.calls -= 1

    def release_later(self) -> None:
        """Releases the slot after 1 s, for a call that the client ended before the server did."""
        connection, self._connection = self._connection, None
        if connection is not None:
            # Not at once, because the server counts the call until it has seen the end, and rejects
            # calls above its limit in the meantime.
            asyncio.get_running_loop().call_later(_STILL_COUNTED, connection.end_call)


class _Connection:
    """A channel and the number of calls on it."""

    def __init__(self, channel: aio.Channel) -> None:
        self.channel = channel
        self.callables: dict[str, Any] = {}
        self.calls = 0

    def end_call(self) -> None:
        self.calls -= 1


class ChannelPool:
    """A pool of channels, with separate channels for unary calls and for streams.

    Opens a further channel when all others are full.
    """

    def __init__(
        self,
        target: str,
        *,
        options: Sequence[tuple[str, Any]],
        credentials: grpc.ChannelCredentials | None,
        interceptors: Sequence[Any],
    ) -> None:
        self._target = target
        self._options = options
        self._credentials = credentials
        self._interceptors = interceptors
        self._unary: list[_Connection] = []
        self._streams: list[_Connection] = []

    def _new(self) -> aio.Channel:
        if self._credentials is None:
            return aio.insecure_channel(
                self._target, options=self._options, interceptors=self._interceptors
            )
        return aio.secure_channel(
            self._target,
            self._credentials,
            options=self._options,
            interceptors=self._interceptors,
        )

    def lease(self, metadata: Metadata, *, stream: bool) -> Lease:
        """Reserves a slot for a call or a stream; makes a new channel if all others are full."""
        connections = self._streams if stream else self._unary
        # In order, because the last channels then become idle after a burst.
        for connection in connections:
            if connection.calls < CALLS_PER_CONNECTION:
                return Lease(connection, metadata)
        connections.append(_Connection(self._new()))
        return Lease(connections[-1], metadata)

    async def close(self) -> None:
        """Closes all channels, and cancels the calls and streams on them."""
        for connection in (*self._unary, *self._streams):
            await connection.channel.close()
        # Before the caller drops the pool, because grpcio below 1.78 may hang otherwise.
        await drain_notifications()


class BorrowedChannel:
    """A channel that the user passed: used for all calls and streams, and never closed here."""

    def __init__(self, channel: aio.Channel) -> None:
        self._connection = _Connection(channel)

    def lease(self, metadata: Metadata, *, stream: bool) -> Lease:
        """Reserves a slot on the channel, whose number of calls has no limit here."""
        return Lease(self._connection, metadata)

    async def close(self) -> None:
        """Does nothing, because the user closes the channel."""


def state_of(channel: aio.Channel) -> grpc.ChannelConnectivity:
    """Returns the state of a channel; SHUTDOWN if the owner of the channel closed it."""
    try:
        return channel.get_state()
    except aio.UsageError:  # because grpc raises this error for a closed channel
        return grpc.ChannelConnectivity.SHUTDOWN


def is_connected(channel: aio.Channel) -> bool:
    """Returns whether a channel has a connection now."""
    try:
        return channel.get_state() is grpc.ChannelConnectivity.READY
    except aio.UsageError:  # because grpc raises this error for a closed channel
        return False


def is_connecting(channel: aio.Channel) -> bool:
    """Returns whether a channel is connecting, for the first time or after a break."""
    return state_of(channel) is grpc.ChannelConnectivity.CONNECTING


async def leave_idle_and_connecting(channel: aio.Channel) -> None:
    """Waits until a channel has connected or has failed to connect.

    Raises:
        UsageError: The channel was closed.
    """
    state = channel.get_state(try_to_connect=True)
    while state in (grpc.ChannelConnectivity.IDLE, grpc.ChannelConnectivity.CONNECTING):
        await channel.wait_for_state_change(state)
        state = channel.get_state(try_to_connect=True)
