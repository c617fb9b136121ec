"""Every RPC goes through here: channel, deadline, authentication, background tasks, closing."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
from collections.abc import Coroutine
from typing import Any, Protocol

from google.protobuf.message import Message
from grpc import aio

from virtufin.api.client import _memory
from virtufin.api.client._calls import Call, Stream, decoded
from virtufin.api.client._channels import (
    BorrowedChannel,
    ChannelPool,
    StreamSlot,
    channel_options,
    read_credentials,
)
from virtufin.api.client._deadline import Budget
from virtufin.api.client._method import Method
from virtufin.api.client._sentinel import NotGiven
from virtufin.api.client._settings import ClientSettings, checked_api_key, timeout_or_none
from virtufin.api.client._statuses import expired
from virtufin.api.client.errors import (
    ClientClosedError,
    InvalidInputError,
    VirtufinError,
    WrongLoopError,
)

logger = logging.getLogger("virtufin.api.client.transport")

_CLOSE_WAIT = 5.0
_CLOSED = "the client is closed; make a new ApiClient"


class Channels(Protocol):
    """Where calls go over: channels of our own, or one the caller brought."""

    unary: aio.Channel

    def stream_slot(self) -> StreamSlot:
        """Takes a place for one stream."""

    async def close(self) -> None:
        """Ends what is ours."""


class Transport:
    """The connection of one client to its gateway, in one event loop."""

    def __init__(self, settings: ClientSettings, channel: aio.Channel | None = None) -> None:
        self._settings = settings
        self._borrowed = channel
        self._channels: Channels | None = None
        self._memory: _memory.Lease | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._closed = False
        self._calls: set[Call] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.peer = settings.target if channel is None else "the given channel"

    # Life

    @property
    def closed(self) -> bool:
        """Whether the client was closed, or is about to be."""
        return self._closed

    @property
    def rotates_key(self) -> bool:
        """Whether the API key is asked for at every call."""
        return callable(self._settings.api_key)

    def check(self) -> asyncio.AbstractEventLoop:
        """Binds to the running loop, or verifies it.

        Raises:
            ClientClosedError: The client was closed.
            WrongLoopError: The client belongs to another loop.
        """
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise WrongLoopError(
                "this client was first used in another event loop (or thread); "
                "make one ApiClient per event loop"
            )
        if self._closed:
            raise ClientClosedError(_CLOSED, peer=self.peer)
        return loop

    async def open(self) -> Channels:
        """Opens the channel where that has not been done; does not wait for the gateway."""
        self.check()
        while self._channels is None:
            if self._opening is None:
                self._opening = self.spawn(self._open(), "virtufin-open")
            opening = self._opening
            await asyncio.wait((opening,))
            self.check()
            if self._opening is opening:
                self._opening = None
            if not opening.cancelled():
                opening.result()
        return self._channels

    async def _open(self) -> None:
        settings = self._settings
        if self._borrowed is not None:
            self._channels = BorrowedChannel(self._borrowed)
            return
        if settings.memory is not None:
            self._memory = await _memory.lease(settings.memory)
        credentials = None
        if settings.tls is not None:
            credentials = await asyncio.to_thread(read_credentials, settings.tls)
        self._channels = ChannelPool(
            settings.target if self._memory is None else self._memory.target,
            options=channel_options(settings),
            credentials=credentials,
            interceptors=settings.interceptors,
        )
        self._warn_of_plain_key()

    def _warn_of_plain_key(self) -> None:
        settings = self._settings
        if settings.api_key and settings.tls is None and not _is_local(settings.target):
            logger.warning(
                "the API key travels unencrypted to %s; use tls=True, or a proxy on this host",
                settings.target,
            )

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Starts a task that `close()` cancels and awaits, in a context of its own.

        A fresh context, because a caller's `deadline()` is not meant for work that outlives it.
        """
        if self._loop is None:
            raise RuntimeError("spawn before check()")
        task = contextvars.Context().run(self._loop.create_task, coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, VirtufinError):
            logger.error("background task %s failed", task.get_name(), exc_info=error)

    async def close(self) -> None:
        """Ends calls, streams and tasks within a bound, then closes the channel. Idempotent."""
        if self._loop is None:
            self._closed = True
            return
        if asyncio.get_running_loop() is not self._loop:
            raise WrongLoopError("close the client in the event loop in which it was used")
        if self._closing is None:
            self._closed = True
            caller = asyncio.current_task()
            closing = self._close(caller)
            self._closing = contextvars.Context().run(
                self._loop.create_task, closing, name="virtufin-close"
            )
        await asyncio.shield(self._closing)

    async def _close(self, caller: asyncio.Task[Any] | None) -> None:
        # A handler may close the client: its own task is left to end by itself.
        tasks = self._tasks - {caller} if caller is not None else set(self._tasks)
        for task in tasks:
            task.cancel()
        for call in list(self._calls):
            call.cancel()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_CLOSE_WAIT)
            for task in late:
                logger.warning("%s did not end within %.0f s", task.get_name(), _CLOSE_WAIT)
        if self._channels is not None:
            await self._channels.close()
        if self._memory is not None:
            await self._memory.release()

    # Calls

    async def unary(
        self,
        method: Method,
        request: Message,
        *,
        timeout: float | NotGiven | None,
        **context: Any,
    ) -> Any:
        """Calls a unary method and returns the response message.

        Args:
            method: The RPC.
            request: Its request.
            timeout: Seconds; not given means the client's default, None no deadline.
            **context: What errors are to say of the call: service, key, topic.

        Raises:
            VirtufinError: See `errors`.
        """
        budget = self.budget(timeout)
        context.update(peer=self.peer, method=method.full_name, attempt=1)
        payload = self._serialized(request, context)
        channels = await self.open()
        key, metadata = await self._headers(budget, context)
        left = budget.left()
        if left == 0.0:
            raise expired(budget, **context)
        invoke: Any = channels.unary.unary_unary(method.path)
        call = Call(lambda: invoke(payload, timeout=left, metadata=metadata), key, context)
        self._calls.add(call)
        try:
            raw = await call.response()
        finally:
            self._calls.discard(call)
        return decoded(method, raw, context)

    async def stream(self, method: Method, request: Message, **context: Any) -> Stream:
        """Opens a server stream; the caller releases it."""
        context.update(peer=self.peer, method=method.full_name)
        payload = self._serialized(request, context)
        channels = await self.open()
        key, metadata = await self._headers(Budget(self._settings.timeout), context)
        slot = channels.stream_slot()
        invoke: Any = slot.channel.unary_stream(method.path)
        return Stream(method, lambda: invoke(payload, metadata=metadata), slot, key, context)

    def budget(self, timeout: float | NotGiven | None) -> Budget:
        """The time a call may take."""
        if isinstance(timeout, NotGiven):
            return Budget(self._settings.timeout)
        return Budget(timeout_or_none(timeout))

    def _serialized(self, request: Message, context: dict[str, Any]) -> bytes:
        payload = request.SerializeToString()
        limit = self._settings.max_message_bytes
        if len(payload) > limit:
            raise InvalidInputError(
                f"the request has {len(payload)} bytes, the limit is {limit}; "
                "send less, or raise max_message_bytes= here and the gateway's own limit",
                **context,
            )
        return payload

    async def _headers(
        self, budget: Budget, context: dict[str, Any]
    ) -> tuple[str | None, tuple[tuple[str, str | bytes], ...]]:
        source = self._settings.api_key
        if source is None:
            return None, self._settings.metadata
        if callable(source):
            answer = source()
            if inspect.isawaitable(answer):
                try:
                    answer = await asyncio.wait_for(answer, budget.left())
                except asyncio.TimeoutError:
                    raise expired(budget, **context) from None
            key = checked_api_key(answer)
        else:
            key = source
        return key, (*self._settings.metadata, (self._settings.api_key_header, key))


def _is_local(target: str) -> bool:
    scheme, _, rest = target.partition(":")
    if scheme in {"unix", "unix-abstract", "memory"}:
        return True
    address = rest.lstrip("/") if scheme in {"dns", "ipv4", "ipv6"} else target
    return address.startswith(("localhost", "127.", "[::1]", "::1"))
