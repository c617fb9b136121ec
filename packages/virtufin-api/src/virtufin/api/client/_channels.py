"""gRPC channels: how they are made, and which of them a call goes over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

from virtufin.api.client._failures import Metadata
from virtufin.api.client._method import Method
from virtufin.api.client._reflection import V1, V1ALPHA
from virtufin.api.client._settings import (
    MAX_MESSAGE_BYTES,
    ClientSettings,
    TlsSettings,
)
from virtufin.api.client._version import __version__
from virtufin.api.client.errors import InvalidInputError

CALLS_PER_CONNECTION = 80
"""Servers commonly allow 100 per connection and refuse further ones, or let them wait silently."""

_MAX_RECONNECT_BACKOFF_MS = 2000
_MAY_HANG = tuple(int(part) for part in grpc.__version__.split(".")[:2]) < (1, 78)
_MOST_UNREAD = 300
_STILL_COUNTED = 1.0
_PEM = "-----BEGIN "
_IDEMPOTENT = {
    "virtufin.Gateway": ("ListServices", "ListMethods", "GetMethodSchema"),
    "virtufin.State": ("GetState", "GetBulkState", "QueryState", "GetAllState"),
    "virtufin.Config": ("ListServices", "GetService"),
}


def channel_options(settings: ClientSettings) -> list[tuple[str, Any]]:
    """The channel arguments for these settings."""
    keepalive_time = int(settings.keepalive.time * 1000)
    keepalive_timeout = int(settings.keepalive.timeout * 1000)
    options: list[tuple[str, Any]] = [
        # All four are needed to find a half-open connection: without ping_timeout it takes a
        # minute, without max_pings_without_data an idle stream is never probed.
        ("grpc.keepalive_time_ms", keepalive_time),
        ("grpc.keepalive_timeout_ms", keepalive_timeout),
        ("grpc.http2.ping_timeout_ms", keepalive_timeout),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_reconnect_backoff_ms", _MAX_RECONNECT_BACKOFF_MS),
        # Lower limits are in the service config, which leaves out reflection.
        ("grpc.max_receive_message_length", max(settings.max_message_bytes, MAX_MESSAGE_BYTES)),
        # Checked before sending, with an error that says what to do.
        ("grpc.max_send_message_length", -1),
        # Channels with equal arguments would share one connection otherwise.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.primary_user_agent", f"virtufin-api-python/{__version__}"),
        ("grpc.service_config", json.dumps(_service_config(settings))),
    ]
    if settings.tls is not None and settings.tls.server_name:
        options.append(("grpc.ssl_target_name_override", settings.tls.server_name))
    return options


def _service_config(settings: ClientSettings) -> dict[str, Any]:
    config: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
    limit = {"maxResponseMessageBytes": settings.max_message_bytes}
    reflection: dict[str, Any] = {"name": [{"service": service} for service in (V1, V1ALPHA)]}
    methods: list[dict[str, Any]] = [{"name": [{}], **limit}, reflection]
    retry = settings.retry
    if retry.max_attempts > 1:
        names = [
            {"service": service, "method": method}
            for service, reading in _IDEMPOTENT.items()
            for method in reading
        ]
        policy = {
            "maxAttempts": retry.max_attempts,
            "initialBackoff": f"{retry.initial_backoff}s",
            "maxBackoff": f"{retry.max_backoff}s",
            "backoffMultiplier": retry.multiplier,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
        methods.append({"name": names, "retryPolicy": policy, **limit})
        # Before the first call, and after a break, reflection is asked first: a call that may be
        # tried again would fail with it otherwise.
        reflection["retryPolicy"] = policy
        config["retryThrottling"] = {"maxTokens": 10, "tokenRatio": 0.1}
    config["methodConfig"] = methods
    return config


def is_retried(method: Method, settings: ClientSettings) -> bool:
    """Whether gRPC may try a call again, which it does not tell."""
    return settings.retry.max_attempts > 1 and method.name in _IDEMPOTENT.get(method.service, ())


def read_credentials(tls: TlsSettings) -> grpc.ChannelCredentials:
    """Makes credentials; reads files, so it belongs in a thread.

    Raises:
        InvalidInputError: A file cannot be read, or what is given is not PEM.
    """
    return grpc.ssl_channel_credentials(
        root_certificates=_pem("ca", tls.ca),
        private_key=_pem("key", tls.key),
        certificate_chain=_pem("certificate", tls.certificate),
    )


def _pem(name: str, source: bytes | str | Path | None) -> bytes | None:
    if source is None:
        return None
    where = f"TlsSettings.{name}"
    if isinstance(source, str) and _PEM in source:
        source = source.encode()
    if not isinstance(source, bytes):
        # What is given for the key may be the key itself, so it is not shown.
        where += "" if name == "key" else f", file {source}"
        source = _read(where, source)
    # gRPC itself only logs it, and some versions then never connect.
    if _PEM.encode() not in source:
        raise InvalidInputError(f"{where}: holds no PEM block ({_PEM}...)")
    return source


def _read(where: str, path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no path"
    # Out here, as the error of the file would be its context and show the path.
    raise InvalidInputError(f"{where}: cannot be read: {reason}")


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
