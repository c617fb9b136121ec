"""Subscriptions that call a handler of the user for each event."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from virtufin.api.client._asyncio import user_error
from virtufin.api.client._backoff import delays
from virtufin.api.client._transport import ConnectionState, Transport
from virtufin.api.client._validation import require_positive, require_whole, short_repr
from virtufin.api.client.errors import InvalidInputError, VirtufinError
from virtufin.api.client.events import PubsubEvent, source_of

from .buffer import Ended
from .event_stream import EventStream
from .state import SubscriptionState
from .subscription import BaseSubscription

OnEvent = Callable[[PubsubEvent], Any]
OnError = Callable[[Exception], Any]


@runtime_checkable
class EventHandler(Protocol):
    """An object with `on_event` and, optionally, `on_error`; both plain or async."""

    def on_event(self, event: PubsubEvent) -> Any:
        """Handles one event."""


@dataclass(frozen=True)
class StreamEventHandler:
    """A handler made of one or two functions.

    Args:
        on_event: A function that takes each `PubsubEvent`; plain or async.
        on_error: A function that takes each error; plain or async. Errors are an interruption
            after which the client reconnects (`StreamInterruptedError`), an exception raised by
            `on_event`, and the failure that ended the subscription (`StreamFailedError`).

    Example:
        >>> from virtufin.api.client import StreamEventHandler
        >>> handler = StreamEventHandler(on_event=lambda event: print(event.topic))
    """

    on_event: OnEvent
    on_error: OnError | None = None


Handler = EventHandler | StreamEventHandler | OnEvent


DeadLetter = Callable[[PubsubEvent], Awaitable[object]]


@dataclass(frozen=True)
class HandlerOptions:
    """Options of a handler's subscription: filters, concurrency, retries, dead letters."""

    services: tuple[str, ...] = ()
    """Services whose events are handled: source `urn:com.virtufin.<service>`. Empty means all."""
    event_types: tuple[str, ...] = ()
    """CloudEvents types of the events that are handled. Empty means all."""
    max_concurrency: int = 1
    """Maximum number of events handled concurrently; 1 keeps their order."""
    max_attempts: int = 1
    """Maximum number of attempts to handle an event, the first included."""
    retry_backoff: float = 0.1
    """Seconds before the second attempt; doubles with each attempt, up to 30."""
    dead_letter: DeadLetter | None = None
    """Function to call with an event whose last attempt has failed; None for no function."""

    def __post_init__(self) -> None:
        require_whole("max_concurrency", self.max_concurrency, 1)
        require_whole("max_attempts", self.max_attempts, 1)
        require_positive("retry_backoff", self.retry_backoff)

    def accepts(self) -> Callable[[PubsubEvent], bool] | None:
        """Returns a function that returns True for each event to handle; None to handle all."""
        if not self.services and not self.event_types:
            return None
        sources, types = frozenset(map(source_of, self.services)), frozenset(self.event_types)

        def wants(event: PubsubEvent) -> bool:
            message = event.cloudevent
            return (not sources or message.source in sources) and (
                not types or message.type in types
            )

        return wants


def callbacks(handler: object) -> tuple[OnEvent, OnError | None]:
    """Returns the function for events and the function for errors of a handler.

    The function for errors is None if the handler has none.

    Raises:
        InvalidInputError: The handler is neither a function nor an object with `on_event`, or is a
            class or a generator function, or `on_error` is not a function.
    """
    on_event = getattr(handler, "on_event", None)
    on_error = getattr(handler, "on_error", None)
    # Rejected, because calling a class would only create an object for each event.
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
    # Rejected, because calling a generator function runs none of its code.
    for function in (on_event, on_error):
        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
            raise InvalidInputError("handler is a generator: it must not yield, or it never runs")
    return on_event, on_error


logger = logging.getLogger("virtufin.api.client.handler")

# Seconds at most between two attempts, because later events may have to wait in the meantime.
_MAX_BACKOFF = 30.0


class HandlerSubscription(BaseSubscription):
    """A subscription that calls a handler.

    The subscription runs until `cancel()` is called, the client is closed, or the subscription
    fails. Dropping the last reference to this object does not end it.
    """

    def __init__(
        self, transport: Transport, stream: EventStream, handler: Handler, handling: HandlerOptions
    ) -> None:
        super().__init__(stream)
        self._transport = transport
        self._on_event, self._on_error = callbacks(handler)
        self._handling = handling
        self._accepts = handling.accepts()
        self._running: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._errors = 0
        self._dead_letters = 0
        stream.start()
        self._task = transport.spawn(self._consume(), "virtufin-handler")

    @property
    def handler_errors(self) -> int:
        """Returns the number of times the handler raised."""
        return self._errors

    @property
    def dead_letters(self) -> int:
        """Returns the number of events that were sent to the dead-letter topic."""
        return self._dead_letters

    async def cancel(self) -> None:
        """Ends the subscription, cancels running handlers, and waits 5 s at most for them.

        Idempotent.
        """
        self._stopping = True
        self._stream.stop()
        current = asyncio.current_task()
        # Without the current task, because a handler may cancel its own subscription.
        for task in (self._task, *self._running):
            if task is not current:
                task.cancel()
        await self._transport.see_end({self._task, *self._running} - {current})

    async def wait_closed(self) -> None:
        """Waits until the subscription has ended and the handler has finished.

        Raises:
            InvalidInputError: The handler itself called this method.
            VirtufinError: The subscription failed (`StreamFailedError`).
        """
        if asyncio.current_task() in (self._task, *self._running):
            raise InvalidInputError("a handler cannot wait for the end of its own subscription")
        await asyncio.wait((self._task,))
        await super().wait_closed()

    async def __aenter__(self) -> HandlerSubscription:
        """Returns the subscription, which is already started."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends the subscription; see `cancel`."""
        await self.cancel()

    async def _consume(self) -> None:
        accepts, in_order = self._accepts, self._handling.max_concurrency == 1
        try:
            while not self._over:
                try:
                    item = await self._stream.next()
                except Ended:
                    break
                except VirtufinError as failure:
                    await self._report(failure)
                    break
                if not isinstance(item, PubsubEvent):
                    await self._report(item)
                elif accepts is None or accepts(item):
                    # Without a task, because awaiting each event keeps the order.
                    await (self._handle(item) if in_order else self._start(item))
            if self._running:
                await asyncio.wait(self._running)
        finally:
            # Stopped here too, because nothing would consume the events after a cancellation.
            self._stream.stop()

    async def _start(self, event: PubsubEvent) -> None:
        """Starts a task that handles an event.

        First waits until fewer than `max_concurrency` of these tasks are running.
        """
        # Waits here, because events that stay in the buffer fill it, which pauses the gateway.
        while len(self._running) >= self._handling.max_concurrency:
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        task = self._transport.spawn(self._handle(event), "virtufin-handler-event")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _handle(self, event: PubsubEvent) -> None:
        handling = self._handling
        waits: Iterator[float] | None = None
        for left in range(handling.max_attempts - 1, -1, -1):
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
            await self._report(error)
            # No further attempt, because the subscription is ending.
            if self._over:
                return
            if left:
                waits = waits or delays(handling.retry_backoff, _MAX_BACKOFF, 2.0, 0.3)
                await asyncio.sleep(next(waits))
        if handling.dead_letter is not None:
            await self._give_up(event, handling.dead_letter)

    async def _give_up(self, event: PubsubEvent, dead_letter: DeadLetter) -> None:
        failure = await self._outcome(dead_letter, event)
        if failure is None:
            self._dead_letters += 1
            return
        logger.error("event %s could not be put aside", event.message_id, exc_info=failure)
        await self._report(failure)

    async def _report(self, error: Exception) -> None:
        if self._on_error is None:
            return
        failure = await self._outcome(self._on_error, error)
        if failure is not None:
            logger.error("on_error failed on %r", error, exc_info=failure)

    @property
    def _over(self) -> bool:
        """Returns whether the subscription is ending and handles no more events."""
        client = self._transport.state
        return (
            self._stopping
            or self._stream.state is SubscriptionState.CLOSED
            or client is ConnectionState.CLOSING
            or client is ConnectionState.CLOSED
        )

    async def _outcome(self, function: Callable[[Any], Any], argument: object) -> Exception | None:
        """Calls a function of the user, and returns the exception that it raised, or None.

        Raises:
            BaseException: The process or this task is ending, and handling must not go on.
        """
        # Not `call_user`, because every event would wait in one more coroutine.
        try:
            result = function(argument)
            if inspect.isawaitable(result):
                await result
        except Exception as error:  # noqa: BLE001 - a handler's error never ends the stream
            # Returned, because an error of the user's code must not end the subscription.
            if self._over and isinstance(error.__cause__, asyncio.CancelledError):
                # A responder is a function within this one, and Python 3.10 takes its cancellation
                # for the user's own.
                raise error.__cause__ from None
            return error
        except BaseException as error:  # noqa: BLE001 - raised again if it is not the handler's
            return user_error(function, error, lambda: self._over)
        return None
