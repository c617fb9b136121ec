"""Faults of the network between clients and a gateway."""

from __future__ import annotations

from abc import ABC, abstractmethod

from virtufin.api.emulator.faults import Plan


class Network(ABC):
    """Faults of the TCP connections between clients and a gateway.

    These faults need a relay between clients and the gateway: `Emulator(relay=True)`, the pytest
    fixture, or your own `Relay` in front of any server.

    In the gateway's process, a `Network` and its plans belong to the event loop of the gateway.
    They must be used only in that event loop.

    Example:
        >>> from virtufin.api.emulator import Emulator
        >>> async def main():
        ...     async with Emulator(relay=True) as gateway:
        ...         with gateway.network.refuse_connections():
        ...             gateway.network.reset_connections()
    """

    # Abstract, because the same methods act here on a relay, or send a request to the emulator's
    # process.

    @property
    @abstractmethod
    def connections(self) -> int:
        """The number of open connections, including frozen connections."""

    @abstractmethod
    def close_connections(self) -> int:
        """Closes all connections from the server's side (FIN), after the data sent so far.

        Returns:
            The number of connections.
        """

    @abstractmethod
    def reset_connections(self) -> int:
        """Breaks all connections (RST). Data that was not read is lost.

        Returns:
            The number of connections.
        """

    @abstractmethod
    def freeze_connections(self, *, new: bool = False) -> Plan:
        """Stops forwarding on all open connections, in both directions, and closes none of them.

        The connections are then half-open: neither side receives data from the other side or
        notices its end. Lifting the plan forwards everything that was held back.

        Args:
            new: Whether to freeze also connections made while the plan is in force. They are
                accepted and then frozen, as by a server that is slow to start. If False, new
                connections work.
        """

    @abstractmethod
    def refuse_connections(self) -> Plan:
        """Refuses new connections until the plan is lifted. Open connections stay open."""

    @abstractmethod
    def clear(self) -> None:
        """Lifts all plans."""
