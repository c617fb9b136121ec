"""Every RPC goes through here: channel, deadline, authentication, background tasks, closing."""

from __future__ import annotations

import asyncio
import contextvars
import ipaddress
import logging
import weakref
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NamedTuple, Protocol, TypeVar

from google.protobuf.message import Message
from grpc import aio

from virtufin.api.client import _memory
from virtufin.api.client._backoff import delays
from virtufin.api.client._calls import Call, Stream, decoded
from virtufin.api.client._channels import (
    BorrowedChannel,
    ChannelPool,
    Slot,
    channel_options,
    is_retried,
    read_credentials,
)
from virtufin.api.client._checks import timeout_or_none
from virtufin.api.client._connections import Connections, is_connected
from virtufin.api.client._deadline import Budget
from virtufin.api.client._failures import Metadata, as_kind, fresh
from virtufin.api.client._method import Method
from virtufin.api.client._secrets import Secrets
from virtufin.api.client._sentinel import NotGiven
from virtufin.api.client._settings import CLOSE_WAIT, ClientSettings
from virtufin.api.client._statuses import expired
from virtufin.api.client.errors import (
    CallCancelledError,
    ClientClosedError,
    DeadlineExceededError,
    InvalidInputError,
    InvalidReplyError,
    UnavailableError,
    UnsupportedError,
    VirtufinError,
    WrongLoopError,
)

logger = logging.getLogger("virtufin.api.client.transport")

T = TypeVar("T")

_UNANSWERED = (DeadlineExceededError, CallCancelledError, ClientClosedError)
_CLOSED = "the client is closed; make a new one"


class Channels(Protocol):
    """Where calls go over: channels of our own, or one the caller brought."""

    def unary_slot(self) -> Slot:
        """Takes a place for one unary call."""

    def stream_slot(self) -> Slot:
        """Takes a place for one stream."""

    async def close(self) -> None:
        """Ends what is ours."""


class Way(NamedTuple):
    """The way to the gateway that a call takes."""

    channel: aio.Channel
    metadata: Metadata


class Resolver(Protocol):
    """Knows how a method's messages are laid out at the gateway."""

    async def resolve(self, method: Method, budget: Budget, way: Way) -> Method:
        """The method as the gateway has it, which may be asked the same way."""

    async def settle(self, budget: Budget, way: Way) -> None:
        """Asks the gateway where that is to be done."""

    @property
    def settled(self) -> bool:
        """Whether nothing is to be asked."""


class Unused(Protocol):
    """What was made and not used yet, so that no task would end it."""

    def stop(self) -> None:
        """Ends it."""


class Transport:
    """The connection of one client to its gateway, in one event loop."""

    def __init__(self, settings: ClientSettings, channel: aio.Channel | None = None) -> None:
        self._settings = settings
        self.secrets = Secrets(settings.api_key, settings.metadata)
        self._borrowed = channel
        self._channels: Channels | None = None
        self._memory: _memory.Lease | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._closed = False
        self._calls: set[Call] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.unused: weakref.WeakSet[Unused] = weakref.WeakSet()
        self.connections = Connections()
        weakref.finalize(self, Connections.abandon, self.connections).atexit = False
        self.resolver: Resolver | None = None
        """Asked before each call where there is one; else methods go out as they are."""
        self.peer = settings.target if channel is None else "the given channel"

    # Life

    @property
    def encrypted(self) -> bool | None:
        """Whether the connection has TLS; None where the channel is the caller's own."""
        return None if self._borrowed is not None else self._settings.tls is not None

    @property
    def local(self) -> bool:
        """Whether the gateway is on this machine."""
        return _is_local(self._settings.target)

    @property
    def closed(self) -> bool:
        """Whether the client was closed, or is about to be."""
        return self._closed

    def check(self) -> None:
        """Binds to the running loop, or verifies it.

        Raises:
            ClientClosedError: The client was closed.
            WrongLoopError: The client belongs to another loop.
        """
        self.check_loop()
        if self._closed:
            raise ClientClosedError(_CLOSED, peer=self.peer)

    def check_loop(self) -> None:
        """Binds to the running loop, or verifies it.

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

    def spawn(self, coroutine: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Starts a task that `close()` cancels and awaits, in a context of its own.

        A fresh context, because a caller's `deadline()` is not meant for work that outlives it.
        """
        if self._loop is None:
            raise RuntimeError("spawn before check()")
        task = contextvars.Context().run(self._loop.create_task, coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
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
        self.connections.stop()
        tasks = self._tasks - {caller} if caller is not None else set(self._tasks)
        for task in tasks:
            task.cancel()
        for call in list(self._calls):
            call.cancel()
        self.secrets.end()
        for unused in tuple(self.unused):
            unused.stop()
        await self.see_end(tasks)
        if self._channels is not None:
            await self._channels.close()
        await self.connections.ended()
        if self._memory is not None:
            await self._memory.release()

    async def see_end(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        """Waits for tasks that were cancelled; those that take longer than 5 s are logged."""
        awaited = set(tasks)
        if awaited:
            _, late = await asyncio.wait(awaited, timeout=CLOSE_WAIT)
            for task in late:
                logger.warning("%s did not end within %.0f s", task.get_name(), CLOSE_WAIT)

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
        asked, tried = method, dict(context)
        # Where gRPC itself may try again, nobody knows which attempt failed.
        attempt = None if is_retried(method, self._settings) else 1
        context.update(peer=self.peer, method=method.full_name, attempt=attempt)
        payload = self._serialized(method, request, context)
        channels = await self.open()
        metadata = await self._headers(budget, context)
        slot = channels.unary_slot()
        way = Way(slot.channel, metadata)
        with _released_on_failure(slot):
            resolved = await self._resolved(method, budget, way, context)
            if resolved is not method:
                method, payload = resolved, self._serialized(resolved, request, context)
            left = budget.left()
            if left == 0.0:
                raise expired(budget, **context)
        connection = self.connections.count

        def again() -> bool:
            """Whether what only reads may have been sent once more, by gRPC, to another gateway."""
            moved = self.connections.count != connection and self.resolver is not None
            return moved and attempt is None and not self._closed and budget.left() != 0.0

        invoke: Any = slot.channel.unary_unary(method.path)
        call = Call(
            lambda: invoke(payload, timeout=left, metadata=metadata), slot, self.secrets, context
        )
        self._calls.add(call)
        try:
            raw = await call.response()
            reply = decoded(method, raw, context)
        except InvalidReplyError:
            self.connections.broke()
            raise
        except UnavailableError:
            if not is_connected(slot.channel):
                self.connections.broke()
            raise
        except _UNANSWERED:
            raise
        except VirtufinError:
            if not again():
                raise
        else:
            if not again():
                return reply
        finally:
            self._calls.discard(call)
        return await self.unary(asked, request, timeout=budget.left(), **tried)

    async def stream(self, method: Method, request: Message, **context: Any) -> Stream:
        """Opens a server stream; the caller releases it."""
        context.update(peer=self.peer, method=method.full_name)
        budget = Budget(self._settings.timeout)
        channels = await self.open()
        metadata = await self._headers(budget, context)
        slot = channels.stream_slot()
        with _released_on_failure(slot):
            way = Way(slot.channel, metadata)
            method = await self._resolved(method, budget, way, context)
            if budget.left() == 0.0:
                raise expired(budget, **context)
            context.update(method=method.full_name)
            payload = self._serialized(method, request, context)
        invoke: Any = slot.channel.unary_stream(method.path)
        return Stream(
            method, lambda: invoke(payload, metadata=metadata), slot, self.secrets, context
        )

    @asynccontextmanager
    async def way(self, budget: Budget) -> AsyncIterator[Way]:
        """The way of a call that is made elsewhere, in a place of its own.

        Raises:
            VirtufinError: The client cannot make calls.
        """
        channels = await self.open()
        metadata = await self._headers(budget, {"peer": self.peer})
        slot = channels.unary_slot()
        try:
            yield Way(slot.channel, metadata)
        finally:
            slot.release()

    async def settled(self, budget: Budget, **context: Any) -> None:
        """Waits until it is known how the gateway's messages are laid out.

        Raises:
            VirtufinError: The client cannot make calls, or the budget ended first.
        """
        self.check()
        if self.resolver is not None and not self.resolver.settled:
            async with self.way(budget) as way:
                with self._as_of(context):
                    await self.resolver.settle(budget, way)

    def watch(self, channel: aio.Channel) -> bool:
        """Notices when the channel's connection breaks; False where there is none."""
        return self.connections.watch(channel, owned=self._borrowed is None)

    async def _resolved(
        self, method: Method, budget: Budget, way: Way, context: dict[str, Any]
    ) -> Method:
        if self.resolver is None:
            return method
        self.connections.look(way.channel)
        retry = self._settings.retry
        waits = delays(retry.initial_backoff, retry.max_backoff, retry.multiplier, 0.2)
        attempts = retry.max_attempts if is_retried(method, self._settings) else 1
        with self._as_of(context):
            for last in (attempt + 1 == attempts for attempt in range(attempts)):
                try:
                    resolved = await self.resolver.resolve(method, budget, way)
                    break
                except UnavailableError:
                    if last:
                        raise
                await asyncio.sleep(budget.at_most(next(waits)))
        self.check()
        return resolved

    @contextmanager
    def _as_of(self, context: dict[str, Any]) -> Iterator[None]:
        """Raises what is raised inside as the error of the call that could not be made for it."""
        try:
            yield
            return
        except VirtufinError as error:
            failure = fresh(error)
        failure.__dict__.update({**context, "peer": self.peer})
        raise failure from None

    def budget(self, timeout: float | NotGiven | None) -> Budget:
        """The time a call may take."""
        if isinstance(timeout, NotGiven):
            return Budget(self._settings.timeout)
        return Budget(timeout_or_none(timeout))

    def _serialized(self, method: Method, request: Message, context: dict[str, Any]) -> bytes:
        try:
            payload = method.encode(request)
        except UnsupportedError as error:
            raise as_kind(error, UnsupportedError, **context) from None
        limit = self._settings.max_message_bytes
        if len(payload) > limit:
            raise InvalidInputError(
                f"the request has {len(payload)} bytes, the limit is {limit}; "
                "send less, or raise max_message_bytes= here and the gateway's own limit",
                **context,
            )
        return payload

    async def _headers(self, budget: Budget, context: dict[str, Any]) -> Metadata:
        key = await self.secrets.current(budget, context)
        # Else a channel would be made anew where the client was closed meanwhile.
        self.check()
        if key is None:
            return self._settings.metadata
        return (*self._settings.metadata, (self._settings.api_key_header, key))


@contextmanager
def _released_on_failure(slot: Slot) -> Iterator[None]:
    try:
        yield
    except BaseException:
        slot.release()
        raise


def _is_local(target: str) -> bool:
    """Whether every address of a gRPC target is on this machine."""
    scheme, _, rest = target.partition(":")
    if scheme in {"unix", "unix-abstract", "memory"}:
        return True
    addresses = target
    if scheme in {"dns", "ipv4", "ipv6", "passthrough"}:
        addresses = rest.rpartition("/")[2]
    return all(_is_loopback(address) for address in addresses.split(","))


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0] if address.count(":") == 1 else address
    if address.startswith("["):
        host = address[1:].partition("]")[0]
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
