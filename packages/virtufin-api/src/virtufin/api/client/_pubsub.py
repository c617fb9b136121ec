"""Publishing, subscribing, requests and replies."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from virtufin.api.client._deadlines import Budget
from virtufin.api.client._event_attributes import ExtensionValue
from virtufin.api.client._settings import (
    ReconnectSettings,
    SubscriptionSettings,
)
from virtufin.api.client._subscriptions import (
    EventStream,
    Handler,
    HandlerSubscription,
    Handling,
    OnEvent,
    ReplyRouter,
    Responder,
    Subscription,
    SubscriptionState,
)
from virtufin.api.client._types import NOT_GIVEN, Timeout
from virtufin.api.client._validation import require_name, require_names, short_repr
from virtufin.api.client._wire import Rpc
from virtufin.api.client.errors import InvalidInputError
from virtufin.api.client.events import PubsubEvent, to_cloudevent
from virtufin.api.client.results import StatusResult
from virtufin.api.protos.cloudevents_pb2 import CloudEvent

_PUBLISH_WAIT = 2.0
_REQUEST_TIMEOUT = 30.0
_DEAD = "-dead"


class PubsubClient:
    """Publishes and receives events.

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
        self._source = source
        self._reconnect = reconnect
        self._settings = settings
        self._streams: set[EventStream] = set()
        self._requests = ReplyRouter(rpc.transport, self._stream, settings)

    @property
    def ignored_replies(self) -> int:
        """Replies that no call waited for: late ones, second ones, and those to others."""
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

        While a subscription of this client to the topic is still connecting, the call waits for it
        first, 2 s at most, so that a subscriber started just before gets the event.

        Args:
            topic: Where to publish.
            data: Text, bytes, anything JSON can hold, or a ready CloudEvent message, which goes
                out untouched.
            metadata: Attributes as text: `ce-type`, `ce-source`, ..., and extensions by name.
            type: What happened; default `com.virtufin.client.event.published`.
            source: Where it happened; default the client's `source`.
            subject: What it is about.
            content_type: Media type of the data; follows from the data's type by default.
            extensions: Typed extension attributes.
            correlation_id: Extension `correlationid`.
            reply_topic: Extension `replytopic`.
            timeout: Seconds for the call; not given means the client's default, None no deadline.

        Raises:
            InvalidInputError: The event cannot be sent: empty topic, illegal name, no JSON.
            VirtufinError: The gateway refused, or the call failed, see `errors`.
        """
        event = to_cloudevent(
            data,
            metadata,
            type=type,
            source=source,
            subject=subject,
            content_type=content_type,
            extensions=extensions,
            correlation_id=correlation_id,
            reply_topic=reply_topic,
            default_source=self._source,
        )
        topic = require_name(topic, "topic")
        budget = self._rpc.budget(timeout)
        await self._own_subscribers(topic, budget)
        return await self._publish(topic, event, budget)

    def subscribe_async_iter(
        self, topics: str | Iterable[str] | None = None, *, topic: str | None = None
    ) -> Subscription:
        """A subscription to iterate; connects at its first use.

        Args:
            topics: One topic or several; none means what the gateway makes of no topics.
            topic: The same, for one.

        Raises:
            InvalidInputError: A topic is no text, or empty.
        """
        stream = self._stream(_topics(topics, topic))
        return Subscription(stream)

    async def subscribe_async(
        self,
        topics: str | Iterable[str] | None = None,
        *,
        topic: str | None = None,
        timeout: Timeout = NOT_GIVEN,
    ) -> Subscription:
        """A subscription that is live: events published from now on arrive.

        Args:
            topics: One topic or several; none means what the gateway makes of no topics.
            topic: The same, for one.
            timeout: Seconds to wait for the gateway, 2 by default. After that the subscription is
                returned with `confirmed == False` and goes on trying.

        Raises:
            VirtufinError: The gateway refuses for good, such as UnauthenticatedError.
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
        """Calls a handler with each event, from the moment this returns.

        Args:
            handler: A function or coroutine function, or an object with `on_event(event)` and,
                where errors matter, `on_error(error)`.
            services: Only events from sources `urn:com.virtufin.<service>`.
            topics: One topic or several; none means what the gateway makes of no topics.
            event_types: Only events of these types.
            topic: The same as `topics`, for one.
            max_concurrency: Events handled at a time; 1 keeps their order.
            max_attempts: How often an event is given to a handler that raises, in all. Later
                events wait meanwhile where `max_concurrency` is 1.
            retry_backoff: Seconds before the second attempt; doubles from one to the next.
            dead_letter: Whether an event goes, untouched, to topic `<topic>-dead` after the last
                attempt has failed.
            timeout: Seconds to wait for the gateway, 2 by default.

        Returns:
            A handle with `ready`, `state`, `stats`, `cancel` and `wait_closed`.

        Raises:
            InvalidInputError: The handler is none, or a name is no text, or empty.
            VirtufinError: The gateway refuses for good, such as UnauthenticatedError.
        """
        handling = Handling(
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

        All requests with one reply topic share one stream, which is live before the first request
        leaves and goes away some time after the last.

        Args:
            topic: Where to publish.
            data: Text, bytes, or anything JSON can hold.
            reply_topic: Where the reply is expected.
            timeout: Seconds for all of it; None waits without end.
            metadata: Attributes as text.
            correlation_id: What ties the reply to the request; default a UUID.

        Raises:
            DeadlineExceededError: No reply within the timeout; also a TimeoutError.
            InvalidInputError: The event cannot be sent, or the correlation id is in use.
            RequestFailedError: The responder told that it failed.
            StreamFailedError: The reply stream has failed for good.
        """
        budget = self._rpc.budget(timeout)
        topic = require_name(topic, "topic")
        reply_topic = require_name(reply_topic, "reply_topic")
        if reply_topic == topic:
            raise InvalidInputError(
                f"topic and reply_topic are both {topic!r}: the request would be its own reply"
            )
        if correlation_id is None and isinstance(metadata, Mapping):
            correlation_id = metadata.get("correlationid")
        event = to_cloudevent(
            data,
            metadata,
            correlation_id=correlation_id or str(uuid.uuid4()),
            reply_topic=reply_topic,
            default_source=self._source,
        )
        identifier = event.attributes["correlationid"].ce_string

        async def publish() -> None:
            await self._publish(topic, event, budget)

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
        """Answers a request: publishes to its reply topic under its correlation id.

        Args:
            event: The request.
            data: Text, bytes, or anything JSON can hold.
            metadata: Attributes as text.
            timeout: Seconds for the call; not given means the client's default, None no deadline.
            **attributes: As in `publish_async`: `type`, `source`, `subject`, ...

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
        """Answers requests on a topic: what the handler returns is the reply.

        Events that expect no reply are passed to the handler too; its result is then dropped. What
        the handler raises is told to the asker, whose call raises `RequestFailedError`: the reply
        has type `com.virtufin.client.reply.failed`, extension `replystatus` and JSON data
        `{"status", "message"}`.

        Args:
            topic: Where requests come.
            handler: A function or coroutine function from event to reply data.
            max_concurrency: Requests handled at a time.
            timeout: Seconds to wait for the gateway, 2 by default.

        Example:
            >>> async def serve(client):
            ...     await client.pubsub.respond("worker-commands", lambda event: {"status": "ok"})
        """
        responder = Responder(self.reply_async, handler, self._transport.secrets.redact)
        handling = Handling(max_concurrency=max_concurrency)
        return await self._handle(responder, handling, (require_name(topic, "topic"),), timeout)

    async def unsubscribe_async(
        self, subscription_id: str, *, timeout: Timeout = NOT_GIVEN
    ) -> StatusResult:
        """Calls the documented RPC, for which no gateway hands out ids.

        To unsubscribe, end the iteration or `cancel()` the handle.
        """
        fields = {"subscription_id": require_name(subscription_id, "subscription_id")}
        return await self._rpc.accept("Pubsub.Unsubscribe", fields, self._rpc.budget(timeout))

    # Parts

    async def _publish(self, topic: str, event: CloudEvent, budget: Budget) -> StatusResult:
        fields = {"topic": topic, "cloudevent": event}
        return await self._rpc.accept("Pubsub.PublishEvent", fields, budget, topic=topic)

    async def _own_subscribers(self, topic: str, budget: Budget) -> None:
        # One turn of the loop for a subscriber task that was made just before.
        await asyncio.sleep(0)
        connecting = [
            stream
            for stream in self._streams
            if stream.state is SubscriptionState.CONNECTING and stream.carries(topic)
        ]
        if connecting:
            wait = budget.at_most(_PUBLISH_WAIT, 0.5)
            waits = (stream.live(wait) for stream in connecting)
            # A subscription that fails reports that to its own consumer.
            await asyncio.gather(*waits, return_exceptions=True)

    def _stream(self, topics: tuple[str, ...]) -> EventStream:
        return EventStream(
            self._rpc,
            topics,
            reconnect=self._reconnect,
            settings=self._settings,
            on_start=self._streams.add,
            on_end=self._streams.discard,
        )

    async def _handle(
        self, handler: Handler, handling: Handling, topics: tuple[str, ...], timeout: Timeout
    ) -> HandlerSubscription:
        handle = HandlerSubscription(self._transport, self._stream(topics), handler, handling)
        try:
            await handle.ready(timeout)
        except BaseException:
            await handle.cancel()
            raise
        return handle

    async def _put_aside(self, event: PubsubEvent) -> None:
        budget = self._rpc.budget(NOT_GIVEN)
        await self._publish(f"{event.topic}{_DEAD}", event.cloudevent, budget)


def _topics(topics: str | Iterable[str] | None, topic: str | None) -> tuple[str, ...]:
    if topic is not None:
        if topics is not None:
            raise InvalidInputError("give topics or topic, not both")
        return (require_name(topic, "topic"),)
    return tuple(dict.fromkeys(require_names(topics, "topics")))
