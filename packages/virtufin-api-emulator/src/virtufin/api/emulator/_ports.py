"""Opening the port a server listens on, with a reason in words where that fails."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from types import TracebackType
from typing import Any

import grpc.aio

from virtufin.api.emulator._checks import LARGEST

SERVER_OPTIONS = (
    # Else a second server binds the same port, silently, and gets half of the connections.
    ("grpc.so_reuseport", 0),
    # Clients may send keepalive pings as often as they like, with and without open streams.
    ("grpc.http2.min_ping_interval_without_data_ms", 0),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    # Else calls are cancelled at random where more than 1,000 wait to be begun.
    ("grpc.server.max_pending_requests", LARGEST),
    ("grpc.server.max_pending_requests_hard_limit", LARGEST),
)
"""What every server here has."""

CHANNEL_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    # Retries are the gateway's own; what restarts behind it is soon found again.
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.max_send_message_length", -1),
)
"""What every channel to something behind the gateway has."""

_BACKLOG = 128
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


async def listen(server: grpc.aio.Server, host: str, port: int) -> int:
    """Binds the server to a port, a free one for 0, and returns which.

    Raises:
        OSError: The port is taken, the host is not of this machine, ...
    """
    await _check(host, port)
    try:
        bound = server.add_insecure_port(address(host, port))
    except RuntimeError as error:
        raise OSError(errno.EADDRNOTAVAIL, f"cannot listen on {address(host, port)}") from error
    if not bound:
        raise OSError(errno.EADDRNOTAVAIL, f"cannot listen on {address(host, port)}")
    return bound


def address(host: str, port: int) -> str:
    """`host:port`, with brackets where they belong."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def endpoint(target: str) -> tuple[str, int]:
    """Host and port of `host:port`.

    Raises:
        ValueError: It is something else.
    """
    host, _, port = target.rpartition(":")
    host = host.strip("[]")
    number = int(port) if port.isdecimal() and len(port) <= 5 else 0
    if not host or not 0 < number <= 65535:
        raise ValueError(f"target is host:port with a port from 1 to 65535, got {target!r}")
    return host, number


def reachable(host: str, port: int) -> str:
    """The address to call a server at that listens on `host`."""
    return address(_WILDCARDS.get(host, host), port)


class ReservedPort:
    """A port kept from others while nobody listens on it.

    A socket that is bound and never listens: who connects is refused, and the system gives the port
    to nobody else, neither to a server nor as the near end of a connection.
    """

    def __init__(self, address: Any, family: int) -> None:
        self._family = family
        self._socket = self._bound(address)
        self._address = self._socket.getsockname()

    @classmethod
    async def take(cls, host: str, port: int) -> ReservedPort:
        """Reserves a port, a free one for 0.

        Raises:
            OSError: The port is taken, the host is not of this machine, ...
        """
        await _check(host, port)
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, _, _, _, where = found[0]
        return cls(where, family)

    @property
    def port(self) -> int:
        """Its number."""
        return int(self._address[1])

    def listen(self) -> socket.socket:
        """A new socket that listens on it."""
        sock = self._bound(self._address)
        sock.listen(_BACKLOG)
        return sock

    def close(self) -> None:
        """Lets go of it. Idempotent."""
        self._socket.close()

    def __enter__(self) -> ReservedPort:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _bound(self, address: Any) -> socket.socket:
        sock = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            # Both sockets have it, else the second could not be bound.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setblocking(False)
            sock.bind(address)
        except BaseException:
            sock.close()
            raise
        return sock


async def _check(host: str, port: int) -> None:
    # gRPC itself only says that it failed, and writes its own lines to stderr.
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise OSError(errno.EADDRNOTAVAIL, f"cannot listen on {host!r}: {error.strerror}") from None
    except UnicodeError as error:
        raise OSError(errno.EADDRNOTAVAIL, f"cannot listen on {host!r}: no host name") from error
    free, failure = False, None
    for family, kind, protocol, _, where in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(where)
                free = True
        except OSError as error:
            failure = error
            if error.errno == errno.EADDRINUSE:
                break
    if failure is None or (free and failure.errno != errno.EADDRINUSE):
        return
    text = os.strerror(failure.errno or errno.EADDRNOTAVAIL)
    if failure.errno == errno.EADDRINUSE:
        text = "the port is taken; choose another, or 0 for a free one"
    raise OSError(failure.errno, f"cannot listen on {address(host, port)}: {text}")
