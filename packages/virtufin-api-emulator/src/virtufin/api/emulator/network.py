"""Faults of the network between clients and an emulated gateway, which a test causes on purpose."""

from __future__ import annotations

from abc import ABC, abstractmethod

from virtufin.api.emulator.faults import Plan


class Network(ABC):
    """Closes, breaks, freezes or refuses the TCP connections between clients and a gateway.

    These faults need a relay: a TCP server between the clients and the gateway, which passes on the
    data of both. `Emulator(relay=True)` and the pytest fixture have a relay; a `Relay` of your own
    can stand before any server.

    Some methods return a plan: the fault lasts until the plan is lifted.

    If the emulator runs in this process, use a `Network` and its plans only in the event loop of
    the emulator. For an emulator in another process (`EmulatorProcess`), every method raises
    ConnectionError if that process does not answer.

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
        """The number of open connections of clients, including frozen ones."""

    @abstractmethod
    def close_connections(self) -> int:
        """Closes all connections as a server does (FIN), after the data that was sent so far.

        Returns:
            The number of connections that were closed.
        """

    @abstractmethod
    def reset_connections(self) -> int:
        """Breaks all connections (RST). Data that the other side has not read yet is lost.

        Returns:
            The number of connections that were broken.
        """

    @abstractmethod
    def freeze_connections(self, *, new: bool = False) -> Plan:
        """Stops forwarding on all open connections, in both directions, and closes none of them.

        Neither side of a frozen connection receives data from the other side, or notices its end.
        When the plan is lifted, all data that was held back is forwarded.

        Args:
            new: True to freeze also the connections that clients make while the plan is in force.
                They are accepted and then frozen, as by a server that is slow to start. If False,
                new connections work.

        Returns:
            The plan, which is in force.
        """

    @abstractmethod
    def refuse_connections(self) -> Plan:
        """Refuses new connections until the plan is lifted. Open connections stay open.

        Returns:
            The plan, which is in force.
        """

    @abstractmethod
    def clear(self) -> None:
        """Lifts all plans of this object."""
