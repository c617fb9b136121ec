"""Subscriptions that call a handler."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from virtufin.api.client._asyncio import call_user
from virtufin.api.client._backoff import delays
from virtufin.api.client._transport import Transport
from virtufin.api.client._validation import require_positive, require_whole, short_repr
from virtufin.api.client.errors import InvalidInputError, VirtufinError
from virtufin.api.client.events import PubsubEvent

from .buffer import Ended
from .event_stream import EventStream
from .state import SubscriptionState
from .subscription import StreamHandle

OnEvent = Callable[[PubsubEvent], Any]
OnError = Callable[[Exception], Any]


@runtime_checkable
class EventHandler(Protocol):
    """An object with `on_event`, and `on_error` where errors matter; both plain or async."""

    def on_event(self, event: PubsubEvent) -> Any:
        """Handles one event."""


@dataclass(frozen=True)
class StreamEventHandler:
    """A handler from functions.

    Args:
        on_event: Called with each `PubsubEvent`; plain or async.
        on_error: Called with each error: an interruption that will be retried
            (`StreamInterruptedError`), what `on_event` raised, and the failure that ended the
            subscription (`StreamFailedError`); plain or async.

    Example:
        >>> from virtufin.api.client import StreamEventHandler
        >>> handler = StreamEventHandler(on_event=lambda event: print(event.topic))
    """

    on_event: OnEvent
    on_error: OnError | None = None


Handler = EventHandler | StreamEventHandler | OnEvent


DeadLetter = Callable[[PubsubEvent], Awaitable[object]]


@dataclass(frozen=True)
class Handling:
    """Which events a handler gets, and what happens to one that it cannot handle."""

    services: tuple[str, ...] = ()
    """Sources `urn:com.virtufin.<service>` that are wanted; empty means all."""
    event_types: tuple[str, ...] = ()
    """Types that are wanted; empty means all."""
    max_concurrency: int = 1
    """Events handled at a time; 1 keeps their order."""
    max_attempts: int = 1
    """How often an event is given to a handler that raises, in all."""
    retry_backoff: float = 0.1
    """Seconds before the second attempt; doubles from attempt to attempt, 30 at most."""
    dead_letter: DeadLetter | None = None
    """Takes the event after the last attempt."""

    def __post_init__(self) -> None:
        require_whole("max_concurrency", self.max_concurrency, 1)
        require_whole("max_attempts", self.max_attempts, 1)
        require_positive("retry_backoff", self.retry_backoff)

    def wants(self, event: PubsubEvent) -> bool:
        """Whether the event is wanted."""
        if self.services and event.service not in self.services:
            return False
        return not self.event_types or event.type in self.event_types


def callbacks(handler: object) -> tuple[OnEvent, OnError | None]:
    """The two functions of a handler.

    Raises:
        InvalidInputError: It is neither a function nor an object with `on_event`.
    """
    on_event = getattr(handler, "on_event", None)
    on_error = getattr(handler, "on_error", None)
    if inspect.isclass(handler):
        raise InvalidInputError(f"handler is the class {handler.__name__}; give an object of it")
    if not callable(on_event):
        if not callable(handler):
            raise InvalidInputError(
                "handler must be a function, or an object with on_event(event), "
                f"not {short_repr(handler)}"
            )
        on_event, on_error = handler, None
    if on_error is not None and not callable(on_error):
        raise InvalidInputError(f"on_error must be a function, not {short_repr(on_error)}")
    for function in (on_event, on_error):
        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
            raise InvalidInputError("handler is a generator: it must not yield, or it never runs")
    return on_event, on_error


logger = logging.getLogger("virtufin.api.client.handler")

_MAX_BACKOFF = 30.0


class HandlerSubscription(StreamHandle):
    """The handle of a handler's subscription.

    The subscription lives until `cancel()`, the end of the client, or a failure; the handle itself
    may be thrown away.
    """

    def __init__(
        self, transport: Transport, stream: EventStream, handler: Handler, handling: Handling
    ) -> None:
        super().__init__(stream)
        self._transport = transport
        self._on_event, self._on_error = callbacks(handler)
        self._handling = handling
        self._running: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._errors = 0
        self._dead_letters = 0
        stream.start()
        self._task = transport.spawn(self._consume(), "virtufin-handler")

    @property
    def handler_errors(self) -> int:
        """How many times the handler raised."""
        return self._errors

    @property
    def dead_letters(self) -> int:
        """How many events went to the dead-letter topic."""
        return self._dead_letters

    async def cancel(self) -> None:
        """Ends the subscription and waits for the handler, which is cancelled. Idempotent."""
        self._stopping = True
        self._stream.stop()
        current = asyncio.current_task()
        for task in (self._task, *self._running):
            if task is not current:
                task.cancel()
        await self._transport.see_end({self._task, *self._running} - {current})

    async def wait_closed(self) -> None:
        """Waits for the end, and until the handler is done.

        Raises:
            InvalidInputError: Called by the handler itself.
            VirtufinError: The subscription ended by failing (`StreamFailedError`).
        """
        if asyncio.current_task() in (self._task, *self._running):
            raise InvalidInputError("a handler cannot wait for the end of its own subscription")
        await asyncio.wait((self._task,))
        await super().wait_closed()

    async def __aenter__(self) -> HandlerSubscription:
        """Returns the handle."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends the subscription."""
        await self.cancel()

    async def _consume(self) -> None:
        try:
            while not self._over:
                try:
                    item = await self._stream.next()
                except Ended:
                    break
                except VirtufinError as failure:
                    await self._tell(failure)
                    break
                if not isinstance(item, PubsubEvent):
                    await self._tell(item)
                elif self._handling.wants(item):
                    await self._dispatch(item)
            if self._running:
                await asyncio.wait(self._running)
        finally:
            self._stream.stop()

    async def _dispatch(self, event: PubsubEvent) -> None:
        if self._handling.max_concurrency == 1:
            await self._handle(event)
            return
        while len(self._running) >= self._handling.max_concurrency:
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        task = self._transport.spawn(self._handle(event), "virtufin-handler-event")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _handle(self, event: PubsubEvent) -> None:
        handling = self._handling
        waits = delays(handling.retry_backoff, _MAX_BACKOFF, 2.0, 0.3)
        for left in reversed(range(handling.max_attempts)):
            error = await self._outcome(self._on_event, event)
            if error is None:
                return
            self._errors += 1
            logger.error(
                "handler failed on event %s of topic %s%s",
                event.message_id,
                event.topic,
                ", will be tried again" if left else "",
                exc_info=error,
            )
            await self._tell(error)
            if self._over:
                return
            if left:
                await asyncio.sleep(next(waits))
        if handling.dead_letter is not None:
            await self._give_up(event, handling.dead_letter)

    async def _give_up(self, event: PubsubEvent, dead_letter: DeadLetter) -> None:
        failure = await self._outcome(dead_letter, event)
        if failure is None:
            self._dead_letters += 1
            return
        logger.error("event %s could not be put aside", event.message_id, exc_info=failure)
        await self._tell(failure)

    async def _tell(self, error: Exception) -> None:
        if self._on_error is None:
            return
        failure = await self._outcome(self._on_error, error)
        if failure is not None:
            logger.error("on_error failed on %r", error, exc_info=failure)

    @property
    def _over(self) -> bool:
        """Whether no event is to be handled any more."""
        on_purpose = self._stream.state is SubscriptionState.CLOSED
        return self._stopping or self._transport.closed or on_purpose

    async def _outcome(self, function: Callable[[Any], Any], argument: object) -> Exception | None:
        """Calls a function of the user; returns what it raised."""
        try:
            await call_user(function, argument, is_ending=lambda: self._over)
        except Exception as error:  # noqa: BLE001 - a handler's error never ends the stream
            return error
        return None
