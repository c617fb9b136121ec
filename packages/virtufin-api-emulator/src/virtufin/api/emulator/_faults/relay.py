"""A TCP relay that breaks connections as networks do."""

from __future__ import annotations

import asyncio
import socket

from virtufin.api.emulator import _ports
from virtufin.api.emulator._validation import switch, text, whole
from virtufin.api.emulator.faults import Plan
from virtufin.api.emulator.network import Network

from .relay_link import Link, NetworkPlan


class Relay(Network):
    """A TCP relay before a server, in this event loop.

    Example:
        >>> from virtufin.api.emulator import Relay
        >>> async def main(gateway):
        ...     async with Relay(gateway.target) as relay:
        ...         print(relay.host, relay.port)
        ...         relay.reset_connections()
    """

    def __init__(self, target: str, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Does no I/O and needs no running loop.

        Args:
            target: `host:port` of the server; may be set anew later, for new connections.
            host: Where to listen.
            port: TCP port; 0 takes a free one at the first start and keeps it from then on.

        Raises:
            ValueError: An argument is out of its range, or the target not `host:port`.
            TypeError: An argument has the wrong type.
        """
        self.target = target
        self._host = text(host, "host")
        self._port = whole(port, "port", 0, 65535)
        self._links: dict[Link, None] = {}
        self._arriving: set[asyncio.Task[None]] = set()
        self._connecting: dict[Link, asyncio.Task[None]] = {}
        self._changing = asyncio.Lock()
        self._listening: socket.socket | None = None
        self._serving: asyncio.Task[asyncio.Server] | None = None
        self._reserved: _ports.ReservedPort | None = None
        self._refusals: set[NetworkPlan] = set()
        self._freezes: set[NetworkPlan] = set()
        self._emptied: asyncio.Future[None] | None = None

    @property
    def target(self) -> str:
        """Where the server is, `host:port`; setting it raises as the constructor does."""
        return self._target

    @target.setter
    def target(self, target: str) -> None:
        self._endpoint = _ports.endpoint(text(target, "target"))
        self._target = target

    @property
    def host(self) -> str:
        """Where it listens."""
        return self._host

    @property
    def port(self) -> int:
        """The port; 0 only before the first start with `port=0`."""
        return self._port

    @property
    def connections(self) -> int:
        return len(self._links)

    async def start(self) -> None:
        """Listens, unless connections are to be refused. Does nothing if it is running.

        Raises:
            OSError: The port is taken, or the host is not of this machine.
        """
        async with self._changing:
            if self._reserved is not None:
                return
            self._reserved = await _ports.ReservedPort.take(self._host, self._port)
            self._port = self._reserved.port
            try:
                self._listen()
            except BaseException:
                self._release()
                raise

    async def stop(self) -> None:
        """Stops listening and closes what is open. Does nothing if it is not running."""
        async with self._changing:
            self.stop_listening()
            self._release()
            if self._arriving:
                await asyncio.wait(tuple(self._arriving))
            for link in tuple(self._links):
                link.abort() if link.frozen else link.close()
            if self._links:
                self._emptied = asyncio.get_running_loop().create_future()
                await asyncio.wait((self._emptied,), timeout=1.0)
                self._emptied = None
            for link in tuple(self._links):
                link.abort()
            if self._connecting:
                await asyncio.wait(tuple(self._connecting.values()))

    def stop_listening(self) -> None:
        """Takes no more connections."""
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
        plan = NetworkPlan(self._freezes, self._thaw, new=switch(new, "new"))
        for link in self._links:
            plan.take(link)
        return plan

    def refuse_connections(self) -> Plan:
        self.stop_listening()
        return NetworkPlan(self._refusals, self._listen)

    async def __aenter__(self) -> Relay:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def accepted(self, link: Link) -> None:
        """A client has connected."""
        self._links[link] = None
        for plan in self._freezes:
            if plan.new:
                plan.take(link)
        if not link.frozen:
            self._connect(link)

    def left(self, link: Link) -> None:
        """The client has gone: nothing is connected for it any more."""
        if link in self._connecting:
            self._connecting[link].cancel()

    def gone(self, link: Link) -> None:
        """A link has ended."""
        self._links.pop(link, None)
        for plan in self._freezes:
            plan.gone(link)
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
            # Event loops on Windows watch no sockets. Not used elsewhere, for a server of asyncio
            # drops a client that it has accepted in the turn before it is closed.
            serving = loop.create_server(lambda: Link(self).client, sock=self._listening)
            self._serving = loop.create_task(serving, name="relay listen")

    def _release(self) -> None:
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None

    def _accept(self, listening: socket.socket) -> None:
        try:
            sock, _ = listening.accept()
        except OSError:
            # The client has gone again, or no file can be opened for it yet.
            return
        sock.setblocking(False)
        # Never cancelled, it takes a turn or two of the loop: so the socket always gets its link.
        task = asyncio.create_task(self._admit(sock), name="relay accept")
        self._arriving.add(task)
        task.add_done_callback(self._arriving.discard)

    async def _admit(self, sock: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Link(self).client, sock
            )
        except OSError:
            sock.close()

    def _thaw(self) -> None:
        for link in tuple(self._links):
            if link.frozen and not any(plan.has(link) for plan in self._freezes):
                link.thaw()
                if link.waiting:
                    self._connect(link)

    def _connect(self, link: Link) -> None:
        if link not in self._connecting:
            task = asyncio.create_task(self._reach(link), name="relay connect")
            self._connecting[link] = task
            task.add_done_callback(lambda _: self._connecting.pop(link))

    async def _reach(self, link: Link) -> None:
        host, port = self._endpoint
        try:
            await asyncio.get_running_loop().create_connection(lambda: link.server, host, port)
        except (OSError, UnicodeError):
            if not link.frozen:
                link.reset()
