"""The connection of a client: opens and closes its channels, and owns its background tasks."""

from __future__ import annotations

import asyncio
import contextvars
import enum
import logging
import weakref
from collections.abc import Coroutine, Iterable
from typing import Any, Protocol, TypeVar

from grpc import aio

from virtufin.api.client._settings import CLOSE_WAIT, ClientSettings
from virtufin.api.client._types import Metadata
from virtufin.api.client.errors import ClientClosedError, VirtufinError, WrongLoopError

from . import target
from .channel_options import channel_options, read_credentials
from .channels import BorrowedChannel, ChannelPool, Lease
from .credentials import Credentials

logger = logging.getLogger("virtufin.api.client.transport")

T = TypeVar("T")


class ConnectionState(enum.Enum):
    """The state of a client's connection to its gateway."""

    NEW = "new"
    """No channel exists; the next call makes one."""
    OPENING = "opening"
    """A task makes the channel: reads the TLS files, or starts the emulator in memory."""
    OPEN = "open"
    """Calls can be sent. The channel itself may still be connecting."""
    CLOSING = "closing"
    """Calls, streams and tasks are being cancelled; every new call is rejected."""
    CLOSED = "closed"
    """Everything has ended and the channel is closed."""


_CLOSED = "the client is closed; make a new one"


class Channels(Protocol):
    """The channels that carry calls: a pool of the client, or the channel that the user passed."""

    def lease(self, metadata: Metadata, *, stream: bool) -> Lease:
        """Reserves a slot on a channel for one call; the caller must release the lease.

        Args:
            metadata: The headers of the call.
            stream: True for a server stream.
        """

    async def close(self) -> None:
        """Closes the channels that belong to the client."""


class Unused(Protocol):
    """A subscription that was never started and so has no task to cancel."""

    def stop(self) -> None:
        """Ends the subscription."""


class Connection:
    """The channels and background tasks of one client, in one event loop."""

    def __init__(self, settings: ClientSettings, channel: aio.Channel | None = None) -> None:
        self._settings = settings
        self.credentials = Credentials(settings.api_key, settings.metadata, settings.api_key_header)
        self._borrowed = channel
        self._channels: Channels | None = None
        self._memory: target.MemoryLease | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self.state = ConnectionState.NEW
        self._calls: set[Any] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        # Weak, because a subscription that the user never started must be garbage-collected.
        self.unused: weakref.WeakSet[Unused] = weakref.WeakSet()
        self.peer = settings.target if channel is None else "the given channel"

    # Opening and closing

    @property
    def encrypted(self) -> bool | None:
        """Returns whether the connection has TLS; None if the user passed the channel."""
        return None if self._borrowed is not None else self._settings.tls is not None

    @property
    def local(self) -> bool:
        """Returns whether the gateway is on this machine."""
        return target.is_local(self._settings.target)

    @property
    def closed(self) -> bool:
        """Returns whether the client was closed or is closing."""
        return self.state is ConnectionState.CLOSING or self.state is ConnectionState.CLOSED

    def check(self) -> None:
        """Checks that the client is open and belongs to the running event loop.

        The first check binds the client to the running loop.

        Raises:
            ClientClosedError: The client was closed.
            WrongLoopError: The client belongs to another loop.
        """
        self.check_loop()
        if self.closed:
            raise ClientClosedError(_CLOSED, peer=self.peer)

    def check_loop(self) -> None:
        """Checks that the client belongs to the running event loop.

        The first check binds the client to the running loop.

        Raises:
            WrongLoopError: The client belongs to another loop.
        """
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise WrongLoopError(
                "this client was first used in another event loop (or thread); "
                "make one client per event loop"
            )

    async def open(self) -> Channels:
        """Returns the channels, opened first if necessary; does not wait for the gateway.

        Raises:
            VirtufinError: The client was closed, belongs to another loop, or cannot open a channel.
        """
        self.check()
        while self._channels is None:
            # A task, because concurrent first calls share it and a cancelled call must not end it.
            if self._opening is None:
                self.state = ConnectionState.OPENING
                self._opening = self.spawn(self._open(), "virtufin-open")
            opening = self._opening
            await asyncio.wait((opening,))
            # Again, because the client may have been closed during the wait.
            self.check()
            if self._opening is opening:
                self._opening = None
            if not opening.cancelled():
                opening.result()
        return self._channels

    async def _open(self) -> None:
        try:
            self._channels = await self._make_channels()
        finally:
            # Unless the client is closing, which cancels this task.
            if self.state is ConnectionState.OPENING:
                opened = self._channels is not None
                self.state = ConnectionState.OPEN if opened else ConnectionState.NEW

    async def _make_channels(self) -> Channels:
        settings = self._settings
        if self._borrowed is not None:
            return BorrowedChannel(self._borrowed)
        if settings.memory is not None:
            self._memory = await target.lease(settings.memory)
        credentials = None
        if settings.tls is not None:
            # In a thread, because reading files would block the event loop.
            credentials = await asyncio.to_thread(read_credentials, settings.tls)
        elif settings.api_key and not target.is_local(settings.target):
            logger.warning(
                "the API key travels unencrypted to %s; use tls=True, or a proxy on this host",
                settings.target,
            )
        return ChannelPool(
            settings.target if self._memory is None else self._memory.target,
            options=channel_options(settings),
            credentials=credentials,
            interceptors=settings.interceptors,
        )

    def spawn(self, coroutine: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Starts a background task in a new, empty context; `close()` cancels and awaits it."""
        if self._loop is None:
            raise RuntimeError("spawn before check()")
        # An empty context, because a caller's `deadline()` must not limit work that outlives it.
        task = contextvars.Context().run(self._loop.create_task, coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_end)
        return task

    def _on_task_end(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        # A VirtufinError is not logged, because the code that started the task reports it.
        if error is not None and not isinstance(error, VirtufinError):
            logger.error("background task %s failed", task.get_name(), exc_info=error)

    async def close(self) -> None:
        """Cancels calls, streams and tasks, waits 5 s at most for them, and closes the channel.

        Idempotent.

        Raises:
            WrongLoopError: The client belongs to another loop.
        """
        if self._loop is None:
            self.state = ConnectionState.CLOSED
            return
        if asyncio.get_running_loop() is not self._loop:
            raise WrongLoopError("close the client in the event loop in which it was used")
        if self._closing is None:
            self.state = ConnectionState.CLOSING
            caller = asyncio.current_task()
            closing = self._close(caller)
            # An empty context, because the deadline of the caller must not limit closing.
            self._closing = contextvars.Context().run(
                self._loop.create_task, closing, name="virtufin-close"
            )
        # Shielded, because a caller that is cancelled must not leave the client half closed.
        await asyncio.shield(self._closing)

    async def _close(self, caller: asyncio.Task[Any] | None) -> None:
        # Without the caller's task, because a handler that closes its own client must not be
        # cancelled by that. It ends by itself.
        tasks = self._tasks - {caller} if caller is not None else set(self._tasks)
        for task in tasks:
            task.cancel()
        for call in list(self._calls):
            call.cancel()
        self.credentials.end()
        for unused in tuple(self.unused):
            unused.stop()
        await self.see_end(tasks)
        if self._channels is not None:
            await self._channels.close()
        if self._memory is not None:
            await self._memory.release()
        self.state = ConnectionState.CLOSED

    async def see_end(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        """Waits for cancelled tasks, 5 s at most, and logs those that have not ended by then."""
        awaited = set(tasks)
        if awaited:
            _, late = await asyncio.wait(awaited, timeout=CLOSE_WAIT)
            for task in late:
                logger.warning("%s did not end within %.0f s", task.get_name(), CLOSE_WAIT)
