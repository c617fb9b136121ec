"""Subscriptions that call a handler."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from virtufin.api.client._asyncio import call_user
from virtufin.api.client._backoff import delays
from virtufin.api.client._buffer import Ended
from virtufin.api.client._handle import StreamHandle
from virtufin.api.client._handling import DeadLetter, Handler, Handling, callbacks
from virtufin.api.client._states import SubscriptionState
from virtufin.api.client._stream import EventStream
from virtufin.api.client._transport import Transport
from virtufin.api.client.errors import InvalidInputError, VirtufinError
from virtufin.api.client.events import PubsubEvent

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
