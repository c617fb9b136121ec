"""Publishing, subscribing, requests and replies."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from virtufin.api.client import _subscriptions
from virtufin.api.client._deadlines import Budget
from virtufin.api.client._event_attributes import ExtensionValue
from virtufin.api.client._event_template import EventTemplate, EventTemplates, random_id
from virtufin.api.client._settings import ReconnectSettings, SubscriptionSettings
from virtufin.api.client._types import NOT_GIVEN, Timeout
from virtufin.api.client._validation import require_name, require_names, short_repr
from virtufin.api.client._wire import Rpc
from virtufin.api.client.errors import InvalidInputError
from virtufin.api.client.events import PubsubEvent
from virtufin.api.client.results import StatusResult
from virtufin.api.protos.cloudevents_pb2 import CloudEvent

if TYPE_CHECKING:
    from virtufin.api.client._subscriptions import (
        EventStream,
        Handler,
        HandlerOptions,
        HandlerSubscription,
        OnEvent,
        ReplyRouter,
        Subscription,
    )
else:
    # For `typing.get_type_hints`, which fails at a name that is imported later.
    Handler = HandlerSubscription = OnEvent = ReplyRouter = Subscription = Any

# Two seconds, because a subscription that cannot connect must not delay publishing for longer.
_PUBLISH_WAIT = 2.0
_REQUEST_TIMEOUT = 30.0
_DEAD = "-dead"


class PubsubClient:
    """Publishes events, subscribes to them, and sends and answers requests.

    Example:
        >>> async def both(client):
        ...     async with client.pubsub.subscribe_async_iter("prices") as prices:
        ...         await client.pubsub.publish_async("prices", {"AAPL": 190.5})
        ...         return (await anext(prices)).data_as_json()
    """

    def __init__(
        self, rpc: Rpc, *, source: str, reconnect: ReconnectSettings, settings: SubscriptionSettings
    ) -> None:
        self._rpc = rpc
        self._transport = rpc.transport
        self._templates = EventTemplates(source, EventTemplate)
        self._reconnect = reconnect
        self._settings = settings
        # Kept because `publish_async` must find the subscriptions that are still connecting.
        self._streams: set[EventStream] = set()

    @cached_property
    def _requests(self) -> ReplyRouter:
        return _subscriptions.ReplyRouter(self._transport, self._stream, self._settings)

    @property
    def ignored_replies(self) -> int:
        """The number of replies that no call waited for: late, repeated, or of other requests."""
        return self._requests.ignored

    async def publish_async(
        self,
        topic: str,
        data: object,
        metadata: Mapping[str, str] | None = None,
        *,
        type: str | None = None,  # noqa: A002 - the CloudEvents name
        source: str | None = None,
        subject: str | None = None,
        content_type: str | None = None,
        extensions: Mapping[str, ExtensionValue] | None = None,
        correlation_id: str | None = None,
        reply_topic: str | None = None,
        timeout: Timeout = NOT_GIVEN,
    ) -> StatusResult:
        """Publishes an event.

        While a subscription of this client to the topic is still connecting, the call first waits
        for it, at most 2 s. So a subscriber that was started just before receives the event too.

        Args:
            topic: Topic of the event.
            data: Text, bytes, any value that JSON can hold, or a ready CloudEvent message, which is
                sent unchanged.
            metadata: Attributes as text: `ce-type`, `ce-source`, ..., and extensions by name.
            type: CloudEvents type; default `com.virtufin.client.event.published`.
            source: CloudEvents source; default the client's `source`.
            subject: CloudEvents subject.
            content_type: Media type of the data; by default derived from the Python type of `data`.
            extensions: Typed extension attributes.
            correlation_id: Value of the extension `correlationid`.
            reply_topic: Value of the extension `replytopic`.
            timeout: Seconds for the call. If omitted, the client's default; None means no deadline.

        Raises:
            InvalidInputError: The event cannot be sent: the topic is empty, an attribute name is
                illegal, or JSON cannot hold the data.
            VirtufinError: The gateway rejected the event, or the call failed; see `errors`.
        """
        template = self._templates.get(
            metadata,
            type=type,
            source=source,
            subject=subject,
            content_type=content_type,
            extensions=extensions,
            correlation_id=correlation_id,
            reply_topic=reply_topic,
        )
        event = template.make_event(data)
        # Not for ASCII, because every event would pay for a check that nearly no topic needs.
        if not (isinstance(topic, str) and topic and topic.isascii()):
            topic = require_name(topic, "topic")
        budget = self._rpc.budget(timeout)
        await self._own_subscribers(topic, budget)
        return await self._publish(topic, event, budget)

    def subscribe_async_iter(
        self, topics: str | Iterable[str] | None = None, *, topic: str | None = None
    ) -> Subscription:
        """Returns a subscription to iterate, which connects at its first use.

        Args:
            topics: A topic, or several topics. Without topics the gateway decides: the subscription
                gets every topic, or fails with `InvalidRequestError`.
            topic: A single topic, as an alternative to `topics`.

        Raises:
            InvalidInputError: A topic is not text, or is empty.
        """
        return _subscriptions.Subscription(self._stream(_topics(topics, topic)))

    async def subscribe_async(
        self,
        topics: str | Iterable[str] | None = None,
        *,
        topic: str | None = None,
        timeout: Timeout = NOT_GIVEN,
    ) -> Subscription:
        """Returns a subscription that is live: events published from now on arrive.

        Args:
            topics: As in `subscribe_async_iter`.
            topic: As in `subscribe_async_iter`.
            timeout: Seconds to wait for the gateway, 2 by default. A subscription that the gateway
                has not confirmed by then is returned with `confirmed == False` and keeps trying.

        Raises:
            VirtufinError: The gateway rejected the subscription, so that trying again is useless.
        """
        subscription = self.subscribe_async_iter(topics, topic=topic)
        await subscription.ready(timeout)
        return subscription

    async def subscribe_async_with_handler(
        self,
        handler: Handler,
        services: str | Iterable[str] | None = None,
        topics: str | Iterable[str] | None = None,
        event_types: str | Iterable[str] | None = None,
        *,
        topic: str | None = None,
        max_concurrency: int = 1,
        max_attempts: int = 1,
        retry_backoff: float = 0.1,
        dead_letter: bool = False,
        timeout: Timeout = NOT_GIVEN,
    ) -> HandlerSubscription:
        """Returns a live subscription that calls a handler with each event, until its `cancel()`.

        Args:
            handler: A function or coroutine function, or an object with `on_event(event)` and
                optionally `on_error(error)`.
            services: Services whose events are handled: those with the CloudEvents source
                `urn:com.virtufin.<service>`. None means all services.
            topics: As in `subscribe_async_iter`.
            event_types: CloudEvents types that are handled. None means all types.
            topic: As in `subscribe_async_iter`.
            max_concurrency: Maximum number of events handled concurrently; 1 keeps their order.
            max_attempts: Total number of attempts for an event whose handler raises. With a
                `max_concurrency` of 1, later events wait in the meantime.
            retry_backoff: Seconds before the second attempt. The wait doubles with each attempt.
            dead_letter: True publishes an event whose last attempt has failed, unchanged, to topic
                `<topic>-dead`.
            timeout: As in `subscribe_async`.

        Raises:
            InvalidInputError: The handler cannot be called, or a name is not text, or is empty.
            VirtufinError: The gateway rejected the subscription, so that trying again is useless.
        """
        handling = _subscriptions.HandlerOptions(
            require_names(services, "services"),
            require_names(event_types, "event_types"),
            max_concurrency=max_concurrency,
            max_attempts=max_attempts,
            retry_backoff=retry_backoff,
            dead_letter=self._put_aside if dead_letter else None,
        )
        return await self._handle(handler, handling, _topics(topics, topic), timeout)

    async def publish_with_result_async(
        self,
        topic: str,
        data: object,
        reply_topic: str,
        timeout: float | None = _REQUEST_TIMEOUT,
        metadata: Mapping[str, str] | None = None,
        correlation_id: str | None = None,
    ) -> PubsubEvent:
        """Publishes a request and waits for the reply with the same correlation id.

        All requests with the same reply topic share one stream. That stream is live before the
        first request is sent, and ends `SubscriptionSettings.reply_linger` seconds after the last
        request has ended.

        Args:
            topic: Topic of the request.
            data: Text, bytes, or any value that JSON can hold.
            reply_topic: Topic of the reply.
            timeout: Seconds for connecting, request and reply together; None waits without limit.
            metadata: Attributes as text; see `publish_async`.
            correlation_id: Identifier that the reply repeats; default a UUID.

        Raises:
            DeadlineExceededError: No reply came within the timeout. Also a TimeoutError.
            InvalidInputError: The event cannot be sent, or the correlation id is in use.
            RequestFailedError: The responder reported a failure.
            StreamFailedError: The subscription to the reply topic has failed for good.
        """
        budget = self._rpc.budget(timeout)
        topic = require_name(topic, "topic")
        reply_topic = require_name(reply_topic, "reply_topic")
        if reply_topic == topic:
            raise InvalidInputError(
                f"topic and reply_topic are both {topic!r}: the request would be its own reply"
            )
        # Read from the metadata too, because a generated id would contradict the caller's own.
        if correlation_id is None and isinstance(metadata, Mapping):
            correlation_id = metadata.get("correlationid")
        template = self._templates.get(
            metadata, correlation_id=correlation_id or random_id(), reply_topic=reply_topic
        )
        event = template.make_event(data)
        # Taken from the event, because that is the text which the reply will repeat.
        identifier = event.attributes["correlationid"].ce_string
        # A function, because the request must be sent only after the reply stream is live.
        publish = partial(self._publish, topic, event, budget)
        return await self._requests.request(reply_topic, identifier, publish, budget)

    async def reply_async(
        self,
        event: PubsubEvent,
        data: object,
        metadata: Mapping[str, str] | None = None,
        *,
        timeout: Timeout = NOT_GIVEN,
        **attributes: Any,
    ) -> StatusResult:
        """Publishes a reply to a request: to its reply topic, with its correlation id.

        Args:
            event: The request.
            data: Text, bytes, or any value that JSON can hold.
            metadata: Attributes as text; see `publish_async`.
            timeout: Seconds for the call. If omitted, the client's default; None means no deadline.
            **attributes: Keywords of `publish_async`: `type`, `source`, `subject`, ...

        Raises:
            InvalidInputError: The event names no reply topic or no correlation id.
        """
        if not isinstance(event, PubsubEvent):
            raise InvalidInputError(f"event must be a PubsubEvent, not {short_repr(event)}")
        if not event.reply_topic or not event.correlation_id:
            raise InvalidInputError(
                f"event {event.message_id!r} expects no reply: it has no "
                f"{'replytopic' if not event.reply_topic else 'correlationid'}",
                topic=event.topic,
            )
        return await self.publish_async(
            event.reply_topic,
            data,
            metadata,
            correlation_id=event.correlation_id,
            timeout=timeout,
            **attributes,
        )

    async def respond(
        self,
        topic: str,
        handler: OnEvent,
        *,
        max_concurrency: int = 1,
        timeout: Timeout = NOT_GIVEN,
    ) -> HandlerSubscription:
        """Returns a live subscription that replies to requests with the results of a handler.

        Events that expect no reply are passed to the handler too, and the result is dropped. If the
        handler raises, the requester's call raises `RequestFailedError`. The reply then has type
        `com.virtufin.client.reply.failed`, extension `replystatus` and JSON data
        `{"status", "message"}`.

        Args:
            topic: Topic of the requests.
            handler: A function or coroutine function that takes the event and returns the data of
                the reply.
            max_concurrency: Maximum number of requests handled concurrently.
            timeout: As in `subscribe_async`.

        Example:
            >>> async def serve(client):
            ...     await client.pubsub.respond("worker-commands", lambda event: {"status": "ok"})
        """
        # Redacted, because the text of a handler's error leaves this process in the reply.
        responder = _subscriptions.Responder(
            self.reply_async, handler, self._transport.credentials.redact
        )
        handling = _subscriptions.HandlerOptions(max_concurrency=max_concurrency)
        return await self._handle(responder, handling, (require_name(topic, "topic"),), timeout)

    async def unsubscribe_async(
        self, subscription_id: str, *, timeout: Timeout = NOT_GIVEN
    ) -> StatusResult:
        """Calls the gateway's `Unsubscribe` RPC, which needs an id that no gateway returns.

        To end a subscription, call its `aclose()` or `cancel()` instead.

        Args:
            subscription_id: Identifier of a subscription.
            timeout: Seconds for the call. If omitted, the client's default; None means no deadline.
        """
        fields = {"subscription_id": require_name(subscription_id, "subscription_id")}
        return await self._rpc.accept("Pubsub.Unsubscribe", fields, self._rpc.budget(timeout))

    async def _publish(self, topic: str, event: CloudEvent, budget: Budget) -> StatusResult:
        fields = {"topic": topic, "cloudevent": event}
        return await self._rpc.accept("Pubsub.PublishEvent", fields, budget, topic=topic)

    async def _own_subscribers(self, topic: str, budget: Budget) -> None:
        # A turn of the event loop, because a subscriber task that was created just before this call
        # starts to connect only then, and would miss the event otherwise.
        await asyncio.sleep(0)
        # Half of the remaining time at most, because publishing needs the rest.
        waits = [
            stream.wait_live(budget.at_most(_PUBLISH_WAIT, 0.5))
            for stream in self._streams
            if stream.state is _subscriptions.SubscriptionState.CONNECTING and stream.carries(topic)
        ]
        if waits:
            # Failures are ignored, because a subscription reports them to its own consumer.
            await asyncio.gather(*waits, return_exceptions=True)

    def _stream(self, topics: tuple[str, ...]) -> EventStream:
        return _subscriptions.EventStream(
            self._rpc,
            topics,
            reconnect=self._reconnect,
            settings=self._settings,
            on_start=self._streams.add,
            on_end=self._streams.discard,
        )

    async def _handle(
        self, handler: Handler, handling: HandlerOptions, topics: tuple[str, ...], timeout: Timeout
    ) -> HandlerSubscription:
        handle = _subscriptions.HandlerSubscription(
            self._transport, self._stream(topics), handler, handling
        )
        try:
            await handle.ready(timeout)
        # Cancellation included, because no caller would hold the handle and end the stream.
        except BaseException:
            await handle.cancel()
            raise
        return handle

    async def _put_aside(self, event: PubsubEvent) -> None:
        # The client's default timeout, because a handler task has no caller to give another.
        budget = self._rpc.budget(NOT_GIVEN)
        await self._publish(f"{event.topic}{_DEAD}", event.cloudevent, budget)


def _topics(topics: str | Iterable[str] | None, topic: str | None) -> tuple[str, ...]:
    if topic is not None:
        if topics is not None:
            raise InvalidInputError("give topics or topic, not both")
        return (require_name(topic, "topic"),)
    return tuple(dict.fromkeys(require_names(topics, "topics")))
