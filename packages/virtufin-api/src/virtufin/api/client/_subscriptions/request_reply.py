"""Request and reply over topics, with one shared stream per reply topic.

A request carries the CloudEvents extensions `correlationid` and `replytopic`. The reply goes to
that topic and carries the same `correlationid`. A call that waits for a reply holds one future.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import grpc

from virtufin.api.client._asyncio import call_user
from virtufin.api.client._deadlines import Budget
from virtufin.api.client._error_mapping import from_refusal, from_status, status_of, wrap_error
from virtufin.api.client._settings import SubscriptionSettings
from virtufin.api.client._transport import Transport
from virtufin.api.client._validation import short_repr
from virtufin.api.client.errors import (
    ClientClosedError,
    InvalidInputError,
    InvalidReplyError,
    RequestFailedError,
    StreamFailedError,
    VirtufinError,
)
from virtufin.api.client.events import PubsubEvent

from .buffer import Ended
from .event_stream import EventStream
from .handlers import OnEvent

FAILED = "com.virtufin.client.reply.failed"
"""The event type of a reply that reports a failure."""
# An extension, because the status must be readable even if the data is not.
STATUS = "replystatus"
"""The extension attribute that holds the in-band status of a failure, such as `NOT_FOUND`."""

Reply = Callable[..., Awaitable[object]]


class Responder:
    """Calls the user's handler with each event, and replies with its result or error."""

    def __init__(self, reply: Reply, handler: OnEvent, redact: Callable[[str], str]) -> None:
        if not callable(handler):
            raise InvalidInputError(f"handler must be a function, not {short_repr(handler)}")
        self._reply = reply
        self._handler = handler
        self._redact = redact

    async def on_event(self, event: PubsubEvent) -> None:
        """Calls the user's handler, and replies to a request with the result or the error.

        An event that is no request gets no reply.

        Raises:
            Exception: The user's handler raised this error, or publishing the reply failed.
        """
        asked = is_request(event)
        try:
            result = await call_user(self._handler, event)
        except Exception as error:
            if asked:
                # Suppressed, because a closing client cancels its handlers, which Python 3.10
                # cannot distinguish from an error of the handler.
                with suppress(ClientClosedError):
                    await send_failure(self._reply, event, error, self._redact)
            raise
        if asked:
            await self._answer(event, result)

    async def _answer(self, event: PubsubEvent, result: object) -> None:
        try:
            await self._reply(event, result)
        except InvalidInputError as error:
            # A failure is sent for this error only, because then the result is invalid and a reply
            # can still be published. Other errors mean that publishing itself failed.
            await send_failure(self._reply, event, error, self._redact)
            raise


async def send_failure(
    reply: Reply, event: PubsubEvent, error: BaseException, redact: Callable[[str], str]
) -> None:
    """Publishes a reply that reports a failure.

    Args:
        reply: The function that publishes a reply to an event.
        event: The request.
        error: The error of the responder.
        redact: A function that replaces secrets in the text of the error.
    """
    status = status_of(error)
    if isinstance(error, VirtufinError):
        text = str(error.message)
    else:
        text = f"{type(error).__name__}: {error}"
    data = {"status": status, "message": redact(text)}
    await reply(event, data, type=FAILED, extensions={STATUS: status})


def is_request(event: PubsubEvent) -> bool:
    """Returns whether an event is a request, which has a reply topic and a correlation id."""
    return bool(event.reply_topic and event.correlation_id)


def checked_reply(event: PubsubEvent) -> PubsubEvent:
    """Returns a reply, or raises if the reply reports a failure.

    Raises:
        RequestFailedError: The responder reported a failure. The error is also an instance of the
            class for the reported status.
    """
    if event.type != FAILED:
        return event
    content: Any = None
    # Suppressed, because a failure without readable data is still a failure.
    with suppress(InvalidReplyError):
        content = event.data_as_json()
    content = content if isinstance(content, dict) else {}
    status = str(event.extensions.get(STATUS) or content.get("status") or "UNKNOWN")
    raise from_refusal(
        status,
        f"the responder failed: {content.get('message') or status}",
        kind=RequestFailedError,
        topic=event.topic,
    )


logger = logging.getLogger("virtufin.api.client.requests")

Subscribe = Callable[[tuple[str, ...]], EventStream]


class ReplyRouter:
    """A router that delivers replies to the calls that wait for them."""

    def __init__(
        self, transport: Transport, subscribe: Subscribe, settings: SubscriptionSettings
    ) -> None:
        self._transport = transport
        self._subscribe = subscribe
        self._settings = settings
        self._streams: dict[str, ReplyStream] = {}
        self.ignored = 0

    async def request(
        self,
        reply_topic: str,
        correlation_id: str,
        publish: Callable[[], Awaitable[object]],
        budget: Budget,
    ) -> PubsubEvent:
        """Publishes a request once the reply stream is live, and waits for its reply.

        Args:
            reply_topic: The topic of the reply.
            correlation_id: The id that the reply repeats; unique among the waiting calls.
            publish: A function that publishes the request within the budget.
            budget: The time that is left until the reply must have arrived.

        Raises:
            InvalidInputError: Another call waits for the same correlation id.
            DeadlineExceededError: No reply arrived in time.
            RequestFailedError: The responder reported a failure.
            VirtufinError: The request could not be sent, or the reply stream has failed.
        """
        stream = self._stream(reply_topic)
        with_reply = stream.expect(correlation_id)
        try:
            # Half of the budget at most, because the request and its reply need time too.
            await stream.wait_live(budget.at_most(self._settings.ready_wait, 0.5))
            await publish()
            reply = await _in_time(with_reply, budget.left())
            if reply is None:
                raise from_status(
                    grpc.StatusCode.DEADLINE_EXCEEDED,
                    f"no reply with correlation id {correlation_id!r} came to topic "
                    f"{reply_topic!r} within {budget.total:.3g} s",
                    details="no reply within the timeout",
                    topic=reply_topic,
                    peer=self._transport.peer,
                )
            return checked_reply(reply)
        finally:
            stream.forget(correlation_id)

    def _stream(self, reply_topic: str) -> ReplyStream:
        stream = self._streams.get(reply_topic)
        if stream is None:
            stream = ReplyStream(
                self._transport,
                self._subscribe((reply_topic,)),
                linger=self._settings.reply_linger,
                on_ignored=self._ignore,
                on_end=self._on_stream_end,
            )
            self._streams[reply_topic] = stream
        return stream

    def _ignore(self) -> None:
        self.ignored += 1

    def _on_stream_end(self, stream: ReplyStream) -> None:
        if self._streams.get(stream.topic) is stream:
            del self._streams[stream.topic]


async def _in_time(reply: asyncio.Future[Any], timeout: float | None) -> Any:
    """Returns the reply, or None if it did not come in time."""
    if timeout is None or reply.done():
        return await reply
    # A timer instead of `asyncio.wait`, because that makes a second future for each request.
    timer = asyncio.get_running_loop().call_later(timeout, _give_up, reply)
    try:
        return await reply
    finally:
        timer.cancel()


def _give_up(reply: asyncio.Future[Any]) -> None:
    if not reply.done():
        reply.set_result(None)


class ReplyStream:
    """The stream of one reply topic and the calls that wait on it."""

    def __init__(
        self,
        transport: Transport,
        stream: EventStream,
        *,
        linger: float,
        on_ignored: Callable[[], None],
        on_end: Callable[[ReplyStream], None],
    ) -> None:
        self._stream = stream
        self._linger = linger
        self._on_ignored = on_ignored
        self._on_end = on_end
        self._waiting: dict[str, asyncio.Future[PubsubEvent]] = {}
        self._idle: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._failure: VirtufinError | None = None
        self.topic = stream.topics[0]
        stream.start()
        task = transport.spawn(self._route(), f"virtufin-replies {self.topic}")
        # A callback, because a task that is cancelled before its first step runs no `finally`.
        task.add_done_callback(lambda _: self._end())

    def expect(self, correlation_id: str) -> asyncio.Future[PubsubEvent]:
        """Returns a future for the reply with a correlation id.

        Raises:
            InvalidInputError: Another call waits for the same correlation id.
        """
        if correlation_id in self._waiting:
            raise InvalidInputError(
                f"another request waits for correlation id {correlation_id!r}",
                topic=self.topic,
            )
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        future: asyncio.Future[PubsubEvent] = self._loop.create_future()
        self._waiting[correlation_id] = future
        return future

    def forget(self, correlation_id: str) -> None:
        """Ends the wait for a reply; `linger` seconds after the last wait, the stream closes."""
        future = self._waiting.pop(correlation_id)
        # Retrieved, because asyncio logs an exception that nothing has retrieved.
        if future.done() and not future.cancelled():
            future.exception()
        # Kept for a while, because the next request would have to open a new stream.
        if not self._waiting and not self._stream.state.ended:
            self._idle = self._loop.call_later(self._linger, self._retire)

    async def wait_live(self, timeout: float) -> None:
        """Waits until the stream is live, or until `timeout` seconds have passed."""
        await self._stream.wait_live(timeout)

    def _retire(self) -> None:
        self._on_end(self)
        self._stream.stop()

    async def _route(self) -> None:
        try:
            while True:
                item = await self._stream.next()
                if isinstance(item, PubsubEvent):
                    self._deliver(item)
        except Ended:
            return
        except VirtufinError as error:
            self._failure = error

    def _deliver(self, event: PubsubEvent) -> None:
        future = self._waiting.get(event.correlation_id)
        if future is None or future.done():
            self._on_ignored()
            logger.debug(
                "reply with correlation id %r on topic %s is not waited for",
                event.correlation_id,
                event.topic,
            )
        else:
            future.set_result(event)

    def _end(self) -> None:
        self._on_end(self)
        self._stream.stop()
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(self._error())

    def _error(self) -> VirtufinError:
        """Returns a new error for one waiting call."""
        # A new object for each call, because each raise adds to the traceback of an error.
        if self._failure is None:
            return ClientClosedError(
                "the client was closed before the reply came", topic=self.topic
            )
        return wrap_error(StreamFailedError, self._failure.message, self._failure)
