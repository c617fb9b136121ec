"""Opening the port a server listens on, with a reason in words where that fails."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from contextlib import ExitStack
from typing import Any

import grpc.aio

from virtufin.api.client._environment import address
from virtufin.api.client._validation import LARGEST

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
_ATTEMPTS = 100
_LOOPBACKS = ("127.0.0.1", "::1")
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


async def listen(server: grpc.aio.Server, host: str, port: int) -> int:
    """Binds the server to a port, a free one for 0, and returns which.

    It is the same port on every address that the host has here.

    Raises:
        OSError: The port is taken, the host is not of this machine, ...
    """
    hosts, port = await _free(host, port)
    for numeric in hosts:
        try:
            bound = server.add_insecure_port(address(numeric, port))
        except RuntimeError as error:
            raise OSError(errno.EADDRNOTAVAIL, f"cannot listen on {address(host, port)}") from error
        if not bound:
            raise OSError(errno.EADDRNOTAVAIL, f"cannot listen on {address(host, port)}")
    return port


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
        hosts, port = await _free(host, port)
        family, where = (await _resolved(hosts[0], port))[0]
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

    def __exit__(self, *_: object) -> None:
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


async def _free(host: str, port: int) -> tuple[list[str], int]:
    """The addresses that the host has here, and the port; for 0 one that is free on all of them.

    gRPC itself only says that it failed, writes its own lines to stderr, and is content with one
    address where another server has the port on the others.
    """
    found = await _resolved(host, port)
    for _ in range(1 if port else _ATTEMPTS):
        try:
            return _probe(found, port)
        except OSError as error:
            failure = error
            if error.errno != errno.EADDRINUSE:
                break
    text = os.strerror(failure.errno or errno.EADDRNOTAVAIL)
    if failure.errno == errno.EADDRINUSE:
        text = "the port is taken; choose another, or 0 for a free one"
    raise OSError(failure.errno, f"cannot listen on {address(host, port)}: {text}")


async def _resolved(host: str, port: int) -> list[tuple[int, Any]]:
    loop = asyncio.get_running_loop()
    # A client may take either for `localhost` (RFC 6761), whatever the system knows it by.
    names = _LOOPBACKS if host == "localhost" else (host,)
    try:
        answers = [await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM) for name in names]
    except socket.gaierror as error:
        raise OSError(errno.EADDRNOTAVAIL, f"cannot listen on {host!r}: {error.strerror}") from None
    except UnicodeError as error:
        raise OSError(errno.EADDRNOTAVAIL, f"cannot listen on {host!r}: no host name") from error
    found = {where: family for answer in answers for family, _, _, _, where in answer}
    return [(family, where) for where, family in found.items()]


def _probe(found: list[tuple[int, Any]], port: int) -> tuple[list[str], int]:
    hosts: list[str] = []
    failure: OSError | None = None
    with ExitStack() as probes:
        for family, (host, _, *rest) in found:
            try:
                probe = probes.enter_context(socket.socket(family, socket.SOCK_STREAM))
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port, *rest))
            except OSError as error:
                # An address of a family that this machine does not have is left out.
                if error.errno == errno.EADDRINUSE:
                    raise
                failure = error
            else:
                port = port or probe.getsockname()[1]
                hosts.append(host)
    if failure is not None and not hosts:
        raise failure
    return hosts, port
