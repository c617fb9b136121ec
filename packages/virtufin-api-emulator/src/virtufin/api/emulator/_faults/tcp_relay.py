"""A TCP relay: a server between clients and another server, which passes on the data of both.

The relay can close, break, freeze and refuse connections, as networks do. A link is a client's
connection to the relay together with the relay's connection to the server (`RelayedConnection`).
"""

from __future__ import annotations

import asyncio
import socket

from virtufin.api.emulator import _ports
from virtufin.api.emulator._validation import require_bool, require_text, require_whole
from virtufin.api.emulator.faults import Plan
from virtufin.api.emulator.network import Network

from .relayed_connection import NetworkPlan, RelayedConnection


class Relay(Network):
    """A TCP relay between clients and a server, in the running event loop.

    Clients connect to the relay instead of the server. The relay opens a connection to the server
    for each of them, and passes on the data of both. Stop the relay, or use it as an async context
    manager.

    Example:
        >>> from virtufin.api.emulator import Relay
        >>> async def main(gateway):
        ...     async with Relay(gateway.target) as relay:
        ...         print(relay.host, relay.port)
        ...         relay.reset_connections()
    """

    def __init__(self, target: str, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Does no I/O and needs no running event loop.

        Args:
            target: `host:port` of the server. The property `target` changes it for new connections.
            host: Address or host name of this machine to listen on.
            port: TCP port. 0 takes a free port at the first start and keeps that port afterwards.

        Raises:
            ValueError: An argument is out of its range, or `target` is not `host:port`.
            TypeError: An argument has the wrong type.
        """
        self.target = target
        self._host = require_text(host, "host")
        self._port = require_whole(port, "port", 0, 65535)
        self._links: dict[RelayedConnection, None] = {}
        self._arriving: set[asyncio.Task[None]] = set()
        self._connecting: dict[RelayedConnection, asyncio.Task[None]] = {}
        self._changing = asyncio.Lock()
        self._listening: socket.socket | None = None
        self._serving: asyncio.Task[asyncio.Server] | None = None
        self._reserved: _ports.ReservedPort | None = None
        self._refusals: set[NetworkPlan] = set()
        self._freezes: set[NetworkPlan] = set()
        self._emptied: asyncio.Future[None] | None = None

    @property
    def target(self) -> str:
        """The `host:port` of the server. A wrong value raises ValueError or TypeError when set."""
        return self._target

    @target.setter
    def target(self, target: str) -> None:
        self._endpoint = _ports.split_target(require_text(target, "target"))
        self._target = target

    @property
    def host(self) -> str:
        """The host that the relay listens on."""
        return self._host

    @property
    def port(self) -> int:
        """The port of the relay. 0 only before the first start with `port=0`."""
        return self._port

    @property
    def connections(self) -> int:
        return len(self._links)

    async def start(self) -> None:
        """Opens the port, unless a plan refuses connections. Does nothing if already running.

        Raises:
            OSError: The port is taken, or the host is not of this machine.
        """
        async with self._changing:
            if self._reserved is not None:
                return
            # Reserved for as long as the relay runs, so that refusing connections, which closes the
            # listening socket, does not give the port to another process.
            self._reserved = await _ports.ReservedPort.take(self._host, self._port)
            self._port = self._reserved.port
            try:
                self._listen()
            except BaseException:
                self._release()
                raise

    async def stop(self) -> None:
        """Stops listening and closes all connections. Does nothing if the relay is not running."""
        async with self._changing:
            self.stop_listening()
            self._release()
            # First, because a connection that is being accepted still becomes a link to close.
            if self._arriving:
                await asyncio.wait(tuple(self._arriving))
            for link in tuple(self._links):
                link.abort() if link.frozen else link.close()
            if self._links:
                self._emptied = asyncio.get_running_loop().create_future()
                # Bounded, because a client that reads nothing would hold up the end.
                await asyncio.wait((self._emptied,), timeout=1.0)
                self._emptied = None
            for link in tuple(self._links):
                link.abort()
            if self._connecting:
                await asyncio.wait(tuple(self._connecting.values()))

    def stop_listening(self) -> None:
        """Refuses new connections. Open connections stay open."""
        if self._listening is None:
            return
        if self._serving is None:
            asyncio.get_running_loop().remove_reader(self._listening)
        elif self._serving.done() and not self._serving.cancelled():
            self._serving.result().close()
        else:
            self._serving.cancel()
        self._listening.close()
        self._listening = self._serving = None

    def clear(self) -> None:
        for plan in (*self._refusals, *self._freezes):
            plan.lift()

    def close_connections(self) -> int:
        links = tuple(self._links)
        for link in links:
            link.close()
        return len(links)

    def reset_connections(self) -> int:
        links = tuple(self._links)
        for link in links:
            link.reset()
        return len(links)

    def freeze_connections(self, *, new: bool = False) -> Plan:
        plan = NetworkPlan(self._freezes, self._thaw, new=require_bool(new, "new"))
        for link in self._links:
            plan.freeze(link)
        return plan

    def refuse_connections(self) -> Plan:
        self.stop_listening()
        return NetworkPlan(self._refusals, self._listen)

    async def __aenter__(self) -> Relay:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def accepted(self, link: RelayedConnection) -> None:
        """Adds the link of a client that has connected, and connects it to the server.

        If a plan freezes new connections, the link is frozen and not connected.

        Args:
            link: The new link.
        """
        self._links[link] = None
        for plan in self._freezes:
            if plan.new:
                plan.freeze(link)
        if not link.frozen:
            self._connect(link)

    def left(self, link: RelayedConnection) -> None:
        """Cancels the attempt to connect a link to the server, because the link is closing.

        Args:
            link: The link.
        """
        if link in self._connecting:
            self._connecting[link].cancel()

    def gone(self, link: RelayedConnection) -> None:
        """Removes a link whose two connections have ended.

        Args:
            link: The link.
        """
        self._links.pop(link, None)
        for plan in self._freezes:
            plan.release(link)
        if not self._links and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    def _listen(self) -> None:
        if self._refusals or self._reserved is None or self._listening is not None:
            return
        self._listening = self._reserved.listen()
        loop = asyncio.get_running_loop()
        try:
            loop.add_reader(self._listening, self._accept, self._listening)
        except NotImplementedError:
            # Event loops on Windows cannot watch a listening socket. Elsewhere no asyncio server
            # is used, because closing one drops a client that it accepted just before.
            serving = loop.create_server(
                lambda: RelayedConnection(self).client, sock=self._listening
            )
            self._serving = loop.create_task(serving, name="relay listen")

    def _release(self) -> None:
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None

    def _accept(self, listening: socket.socket) -> None:
        try:
            sock, _ = listening.accept()
        except OSError:
            # Ignored, because the client has left again, or this process has too many open files
            # and the loop will call again.
            return
        sock.setblocking(False)
        # Never cancelled, so that the socket always gets its link. The task needs only a turn or
        # two of the loop.
        task = asyncio.create_task(self._admit(sock), name="relay accept")
        self._arriving.add(task)
        task.add_done_callback(self._arriving.discard)

    async def _admit(self, sock: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: RelayedConnection(self).client, sock
            )
        except OSError:
            # No link exists yet, so nothing else would close the socket.
            sock.close()

    def _thaw(self) -> None:
        for link in tuple(self._links):
            if link.frozen and not any(plan.holds(link) for plan in self._freezes):
                link.thaw()
                if link.waiting:
                    self._connect(link)

    def _connect(self, link: RelayedConnection) -> None:
        if link not in self._connecting:
            task = asyncio.create_task(self._reach(link), name="relay connect")
            self._connecting[link] = task
            task.add_done_callback(lambda _: self._connecting.pop(link))

    async def _reach(self, link: RelayedConnection) -> None:
        host, port = self._endpoint
        try:
            await asyncio.get_running_loop().create_connection(lambda: link.server, host, port)
        except (OSError, UnicodeError):
            # A frozen link stays as it is, because a half-open connection hears of no failure.
            if not link.frozen:
                link.reset()
