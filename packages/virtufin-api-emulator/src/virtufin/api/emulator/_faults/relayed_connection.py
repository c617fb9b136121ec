"""A connection through the relay, and the plans that freeze it.

A link (`RelayedConnection`) has two sides: the client's connection to the relay, and the relay's
connection to the server.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Callable
from typing import Protocol

from virtufin.api.emulator.faults import LocalPlan

# `struct linger` of the system's C library: on, with a timeout of 0. With this option closing a
# socket sends RST instead of FIN.
_RESET_ON_CLOSE = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


class Owner(Protocol):
    """The receiver of the notifications of links. The relay implements it."""

    def accepted(self, link: RelayedConnection) -> None:
        """Reports that a client has connected."""

    def left(self, link: RelayedConnection) -> None:
        """Reports that the link is closing."""

    def gone(self, link: RelayedConnection) -> None:
        """Reports that both sides of the link have ended."""


class _Endpoint(asyncio.Protocol):
    """A side of a link: the connection to the client, or the connection to the server."""

    def __init__(self, link: RelayedConnection) -> None:
        self._link = link
        self.transport: asyncio.Transport | None = None
        """The connection; None before and after it."""
        self.full = False
        """True while the write buffer of the connection is full."""
        self.end_received = False
        """True after the peer has sent the end of its data (FIN)."""
        self.end_sent = False
        """True after the end of the other side's data was forwarded to the peer."""
        self.ended = False
        """True after the connection has ended."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._link.on_connected(self)

    def data_received(self, data: bytes) -> None:
        self._link.on_data(self, data)

    def eof_received(self) -> bool:
        self.end_received = True
        self._link.forward()
        # True keeps the connection open, because the other side may still send data.
        return True

    def pause_writing(self) -> None:
        self.full = True
        self._link.regulate()

    def resume_writing(self) -> None:
        self.full = False
        self._link.regulate()

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self.ended = True
        self._link.on_lost(self)


class RelayedConnection:
    """A link: a client's connection to the relay, and the relay's connection to the server for it.

    Args:
        owner: The relay.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self.client = _Endpoint(self)
        self.server = _Endpoint(self)
        self.frozen = False
        """True while a plan keeps the link from forwarding anything."""
        # Data that could not be forwarded yet. Needed although reading is paused, because a paused
        # transport may still deliver one more read.
        self._held: dict[_Endpoint, list[bytes]] = {self.client: [], self.server: []}

    @property
    def waiting(self) -> bool:
        """True if the client is connected and the server is not connected yet."""
        return self.client.transport is not None and not (
            self.server.transport is not None or self.server.ended
        )

    def on_connected(self, side: _Endpoint) -> None:
        """Reports a connected client to the owner, or starts to forward to a connected server."""
        if side is self.client:
            self._owner.accepted(self)
            self.regulate()
        elif self.client.ended and not self.frozen:
            self.abort()
        else:
            self.forward()
            self.regulate()

    def on_data(self, side: _Endpoint, data: bytes) -> None:
        """Keeps data that the peer of one side has sent, and forwards it if that is possible."""
        self._held[side].append(data)
        self.forward()

    def forward(self) -> None:
        """Forwards the kept data of each side to the other, and the FIN of a side that sent one.

        Forwards nothing to a side that is not connected yet. Does nothing while the link is frozen.
        Closes the link after the FIN of both sides was forwarded.
        """
        if self.frozen:
            return
        for side, other in self._pairs():
            if other.transport is None:
                continue
            if self._held[side]:
                other.transport.write(b"".join(self._held[side]))
                self._held[side].clear()
            if side.end_received and not other.end_sent:
                other.end_sent = True
                _end_writing(other.transport)
        if self.client.end_sent and self.server.end_sent:
            self.close()

    def freeze(self) -> None:
        """Stops forwarding in both directions, until `thaw`."""
        self.frozen = True
        self.regulate()

    def thaw(self) -> None:
        """Forwards the data that was held back, and goes on forwarding."""
        self.frozen = False
        self.forward()
        self.regulate()
        # A side may have ended while the link was frozen, when its end was not forwarded.
        for side in (self.client, self.server):
            if side.ended:
                self.on_lost(side)

    def regulate(self) -> None:
        """Pauses reading from a side while the other side cannot take data, else resumes it."""
        for side, other in self._pairs():
            # Skipped, because resuming a side that has ended its data would report its end again.
            if side.transport is None or side.end_received:
                continue
            if self.frozen or other.full or other.transport is None:
                side.transport.pause_reading()
            else:
                side.transport.resume_reading()

    def on_lost(self, side: _Endpoint) -> None:
        """Closes the link after one side has ended. Does nothing while the link is frozen."""
        # While frozen, neither side may notice that the other side has ended.
        if not self.frozen:
            self._end(at_once=False)

    def close(self) -> None:
        """Closes both sides, each after the data that was forwarded to it."""
        self._end(at_once=False)

    def reset(self) -> None:
        """Breaks the client's connection (RST), and closes the connection to the server at once.

        Data that was not sent yet is lost.
        """
        if self.client.transport is not None:
            sock = self.client.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.abort()

    def abort(self) -> None:
        """Closes both sides at once. Data that was not sent yet is lost."""
        self._end(at_once=True)

    def _end(self, *, at_once: bool) -> None:
        self.frozen = False
        self._owner.left(self)
        open_ones = [side.transport for side in (self.client, self.server) if side.transport]
        for transport in open_ones:
            transport.abort() if at_once else transport.close()
        if not open_ones:
            self._owner.gone(self)

    def _pairs(self) -> tuple[tuple[_Endpoint, _Endpoint], tuple[_Endpoint, _Endpoint]]:
        return (self.client, self.server), (self.server, self.client)


def _end_writing(transport: asyncio.Transport) -> None:
    try:
        transport.write_eof()
    except OSError:
        # The peer has broken the connection, but the transport has not reported that yet.
        transport.abort()


class NetworkPlan(LocalPlan):
    """A fault plan on connections in force: a freeze of links, or a refusal of new connections.

    Args:
        plans: Plans of the same kind in force. The plan adds itself, and removes itself when it is
            lifted.
        on_lift: Function that is called after the plan was lifted.
        new: True if a freeze includes the links of clients that connect later.
    """

    def __init__(
        self, plans: set[NetworkPlan], on_lift: Callable[[], None], *, new: bool = False
    ) -> None:
        self.new = new
        self._plans = plans
        self._on_lift = on_lift
        self._links: set[RelayedConnection] = set()
        self._used = 0
        plans.add(self)

    @property
    def used(self) -> int:
        return self._used

    @property
    def over(self) -> bool:
        return self not in self._plans

    def freeze(self, link: RelayedConnection) -> None:
        """Freezes a link until the plan is lifted."""
        self._links.add(link)
        self._used += 1
        link.freeze()

    def release(self, link: RelayedConnection) -> None:
        """Forgets a link that has ended."""
        self._links.discard(link)

    def holds(self, link: RelayedConnection) -> bool:
        """Returns True if the plan freezes a link."""
        return link in self._links

    def lift(self) -> None:
        if self in self._plans:
            self._plans.discard(self)
            self._links.clear()
            self._on_lift()
