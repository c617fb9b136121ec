"""Ports of servers: opening them with clear errors, and reserving them.

The gRPC options of all servers and channels of the emulator are here, too.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
from contextlib import ExitStack
from typing import Any

import grpc.aio

from virtufin.api.client._environment import address
from virtufin.api.client._validation import LARGEST

SERVER_OPTIONS = (
    # Without this, a second server binds the same port without an error and gets half of the
    # connections.
    ("grpc.so_reuseport", 0),
    # Without these three, a client with frequent keepalive pings is disconnected.
    ("grpc.http2.min_ping_interval_without_data_ms", 0),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    # Without these two, gRPC cancels calls at random when more than 1,000 are waiting to start.
    ("grpc.server.max_pending_requests", LARGEST),
    ("grpc.server.max_pending_requests_hard_limit", LARGEST),
    # A day, because gRPC cancels calls that a busy process does not get to within 30 s.
    ("grpc.server_max_unrequested_time_in_server", 24 * 3600),
)
"""The options of every server of the emulator."""

CHANNEL_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    # No retries of gRPC, because the gateway retries itself. Short backoffs, so that a backend or
    # sidecar that has restarted is reconnected soon.
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    # The least time for one attempt to connect. On a loaded machine a handshake takes longer than
    # the backoff, and an attempt that is given up too soon never succeeds.
    ("grpc.min_reconnect_backoff_ms", 5000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.max_send_message_length", -1),
)
"""The options of every channel from the gateway to a backend or sidecar."""

_BACKLOG = 128
"""Number of connections that may wait for the relay to accept them."""
# Many, because a port that is free on one address may be taken on the next, and each attempt gets
# another port.
_ATTEMPTS = 100
_LOOPBACKS = ("127.0.0.1", "::1")
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


async def listen(server: grpc.aio.Server, host: str, port: int) -> int:
    """Binds a server to a port on every address of a host, and returns the port.

    Args:
        server: Server to bind.
        host: Address or host name of this machine.
        port: TCP port. 0 takes a port that is free on every address.

    Raises:
        OSError: The port cannot be opened, because it is taken, the host is not of this machine,
            or for another reason. The text says which.
    """
    # Held until gRPC has bound the port, because another socket could take it in between.
    held, hosts, port = await _hold_free_port(host, port)
    with held:
        for numeric in hosts:
            failure = OSError(errno.EADDRNOTAVAIL, f"cannot listen on {address(host, port)}")
            try:
                bound = server.add_insecure_port(address(numeric, port))
            except RuntimeError as error:
                raise failure from error
            if not bound:
                raise failure
    return port


def split_target(target: str) -> tuple[str, int]:
    """Splits `host:port` and returns the host without brackets and the port.

    Args:
        target: Host and port. An IPv6 address is in brackets.

    Raises:
        ValueError: `target` has another form.
    """
    host, _, port = target.rpartition(":")
    host = host.strip("[]")
    number = int(port) if port.isdecimal() and len(port) <= 5 else 0
    if not host or not 0 < number <= 65535:
        raise ValueError(f"target is host:port with a port from 1 to 65535, got {target!r}")
    return host, number


def to_reachable(host: str, port: int) -> str:
    """Returns the `host:port` to connect to, for a server that listens on `host`."""
    # A wildcard address is replaced by loopback, because it is not an address to connect to.
    return address(_WILDCARDS.get(host, host), port)


class ReservedPort:
    """A TCP port that no other process can take, although nothing is listening on it.

    A socket that is bound and never listens holds the port, until `close`. Connections are refused.
    The system gives the port to no other socket, neither for a server nor for an outgoing
    connection.

    Args:
        address: Address of the socket, as for `socket.bind`.
        family: Address family of the socket.

    Raises:
        OSError: The port is taken.
    """

    def __init__(self, address: Any, family: int) -> None:
        self._family = family
        self._socket = self._bind(address)
        self._address = self._socket.getsockname()

    @classmethod
    async def take(cls, host: str, port: int) -> ReservedPort:
        """Reserves a port and returns the reservation, which the caller must close.

        Args:
            host: Address or host name of this machine. Only its first address is reserved.
            port: TCP port. 0 takes a free port.

        Raises:
            OSError: The port cannot be reserved, because it is taken, the host is not of this
                machine, or for another reason. The text says which.
        """
        held, hosts, port = await _hold_free_port(host, port)
        with held:
            family, where = (await _resolve_host(hosts[0], port))[0]
            return cls(where, family)

    @property
    def port(self) -> int:
        """The port number."""
        return int(self._address[1])

    def listen(self) -> socket.socket:
        """Returns a new socket that listens on the port. The caller must close the socket."""
        sock = self._bind(self._address)
        sock.listen(_BACKLOG)
        return sock

    def close(self) -> None:
        """Releases the port. Idempotent."""
        self._socket.close()

    def __enter__(self) -> ReservedPort:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _bind(self, address: Any) -> socket.socket:
        sock = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            # Set on both sockets, because otherwise the listening socket could not be bound.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setblocking(False)
            sock.bind(address)
        except BaseException:
            sock.close()
            raise
        return sock


async def _hold_free_port(host: str, port: int) -> tuple[ExitStack, list[str], int]:
    """Finds a port that is free on all addresses of a host, and holds the port.

    Args:
        host: Address or host name of this machine.
        port: TCP port. 0 means any free port.

    Returns:
        Three values. A context manager, which holds the port until its end. The addresses on which
        the port is free. The port number. While the port is held, only sockets that set
        SO_REUSEADDR, such as gRPC's, can be bound to it.

    Raises:
        OSError: The port is taken, or the host is not of this machine.
    """
    # Checked before gRPC binds, because gRPC gives no reason for a failure, writes to stderr, and
    # accepts a port that is taken on some of the addresses.
    found = await _resolve_host(host, port)
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


async def _resolve_host(host: str, port: int) -> list[tuple[int, Any]]:
    loop = asyncio.get_running_loop()
    # Both loopback addresses, because a client may use either for `localhost` (RFC 6761).
    names = _LOOPBACKS if host == "localhost" else (host,)
    try:
        answers = [await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM) for name in names]
    except socket.gaierror as error:
        raise OSError(errno.EADDRNOTAVAIL, f"cannot listen on {host!r}: {error.strerror}") from None
    except UnicodeError as error:
        raise OSError(errno.EADDRNOTAVAIL, f"cannot listen on {host!r}: no host name") from error
    found = {where: family for answer in answers for family, _, _, _, where in answer}
    return [(family, where) for where, family in found.items()]


def _probe(found: list[tuple[int, Any]], port: int) -> tuple[ExitStack, list[str], int]:
    hosts: list[str] = []
    failure: OSError | None = None
    with ExitStack() as probes:
        for family, (host, _, *rest) in found:
            try:
                probe = probes.enter_context(socket.socket(family, socket.SOCK_STREAM))
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port, *rest))
            except OSError as error:
                # Left out, because this machine may lack the address family. A port that is taken
                # on one address is taken for all.
                if error.errno == errno.EADDRINUSE:
                    raise
                failure = error
            else:
                port = port or probe.getsockname()[1]
                hosts.append(host)
        if failure is not None and not hosts:
            raise failure
        # Linux only, because other systems allow no second socket on a port that one is bound to.
        held = probes.pop_all() if sys.platform == "linux" else ExitStack()
    return held, hosts, port
