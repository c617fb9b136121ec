"""gRPC channels: how they are made, and which of them a call goes over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from grpc import aio

from virtufin.api.client._types import Metadata

CALLS_PER_CONNECTION = 80
"""Servers commonly allow 100 per connection and refuse further ones, or let them wait silently."""

_MAY_HANG = tuple(int(part) for part in grpc.__version__.split(".")[:2]) < (1, 78)
_MOST_UNREAD = 300
_STILL_COUNTED = 1.0


async def settle() -> None:
    """To be awaited when a channel or server is closed, before it is let go.

    gRPC's polling thread tells the event loop of each thing that happened by a byte, of which the
    loop reads one a turn. Before grpcio 1.78 the loop hangs for good where the last channel goes
    while that thread waits for a place to write, as after a burst of calls.
    """
    if _MAY_HANG:
        for _ in range(_MOST_UNREAD):
            await asyncio.sleep(0)


class Lease:
    """A place for one call or stream on a channel, until released."""

    def __init__(self, connection: _Connection) -> None:
        connection.calls += 1
        self._connection: _Connection | None = connection
        self.channel = connection.channel
        self.metadata: Metadata = ()
        """The headers of the call."""
        self.was_connected = is_connected(self.channel)
        """Whether the channel had a connection when the lease was taken."""

    def release(self) -> None:
        """Gives the place back; does nothing the second time."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.calls -= 1

    def release_later(self) -> None:
        """Gives the place of a call that ended on this side back after a moment.

        The server counts such a call until it has seen the end of it, and refuses calls above its
        limit in the meantime.
        """
        connection, self._connection = self._connection, None
        if connection is not None:
            asyncio.get_running_loop().call_later(_STILL_COUNTED, connection.end_call)

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class _Connection:
    """A channel and the number of calls on it."""

    def __init__(self, channel: aio.Channel) -> None:
        self.channel = channel
        self.calls = 0

    def end_call(self) -> None:
        self.calls -= 1


def _lease_of(connections: list[_Connection], new: Callable[[], aio.Channel]) -> Lease:
    """Takes a place on the first channel that has one, so that the last fall idle first."""
    for connection in connections:
        if connection.calls < CALLS_PER_CONNECTION:
            return Lease(connection)
    connections.append(_Connection(new()))
    return Lease(connections[-1])


class ChannelPool:
    """Channels for unary calls and others for streams, as many as it takes."""

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

    def lease(self, *, stream: bool) -> Lease:
        """Takes a place for a call or a stream, on a new channel if the others are full."""
        return _lease_of(self._streams if stream else self._unary, self._new)

    async def close(self) -> None:
        """Closes all channels, ending what still runs on them."""
        for connection in (*self._unary, *self._streams):
            await connection.channel.close()
        await settle()


class BorrowedChannel:
    """A channel the caller brought: used for everything, never closed."""

    def __init__(self, channel: aio.Channel) -> None:
        self._connection = _Connection(channel)

    def lease(self, *, stream: bool) -> Lease:
        """Takes a place on the one channel."""
        return Lease(self._connection)

    async def close(self) -> None:
        """Leaves the channel to its owner."""


def is_connected(channel: aio.Channel) -> bool:
    """Returns whether a channel has a connection now."""
    try:
        return channel.get_state() is grpc.ChannelConnectivity.READY
    except aio.UsageError:  # closed by its owner
        return False


def is_connecting(channel: aio.Channel) -> bool:
    """Returns whether a channel is making its first connection, or the next one."""
    try:
        return channel.get_state() is grpc.ChannelConnectivity.CONNECTING
    except aio.UsageError:
        return False


async def leave_idle_and_connecting(channel: aio.Channel) -> None:
    """Waits until a channel has a connection, or has failed to make one.

    Raises:
        UsageError: The channel was closed.
    """
    state = channel.get_state(try_to_connect=True)
    while state in (grpc.ChannelConnectivity.IDLE, grpc.ChannelConnectivity.CONNECTING):
        await channel.wait_for_state_change(state)
        state = channel.get_state(try_to_connect=True)
