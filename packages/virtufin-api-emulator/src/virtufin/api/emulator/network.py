"""Faults of the network between clients and a gateway."""

from __future__ import annotations

from abc import ABC, abstractmethod

from virtufin.api.emulator.faults import Plan


class Network(ABC):
    """What happens to the TCP connections of a gateway's clients.

    Needs a relay before the gateway: `Emulator(relay=True)`, the pytest fixture, or a `Relay` of
    your own before any server. In the gateway's process it belongs to the event loop of the
    gateway, its plans included, and is to be used there only.

    Example:
        >>> from virtufin.api.emulator import Emulator
        >>> async def main():
        ...     async with Emulator(relay=True) as gateway:
        ...         with gateway.network.refuse_connections():
        ...             gateway.network.reset_connections()
    """

    @property
    @abstractmethod
    def connections(self) -> int:
        """How many connections are open, frozen ones included."""

    @abstractmethod
    def close_connections(self) -> int:
        """Closes all connections from the server's side (FIN), after what was sent; how many."""

    @abstractmethod
    def reset_connections(self) -> int:
        """Breaks all connections (RST); what was not read is lost. Returns how many."""

    @abstractmethod
    def freeze_connections(self, *, new: bool = False) -> Plan:
        """Stops forwarding on all open connections, in both directions, and closes none.

        So they are half-open: neither side hears of the other, nor of its end. Connections made
        later work, unless `new` is set; then they are accepted and frozen too, as by a server that
        is slow to start. Lifting the plan lets everything through that was held back.

        Args:
            new: Whether connections made while the plan is in force are frozen, too.
        """

    @abstractmethod
    def refuse_connections(self) -> Plan:
        """Refuses new connections until the plan is lifted; open ones go on."""

    @abstractmethod
    def clear(self) -> None:
        """Lifts all plans."""
