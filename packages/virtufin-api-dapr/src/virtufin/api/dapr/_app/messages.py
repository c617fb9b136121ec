"""Conversion of the sidecar's deliveries of events to events, and of subscriptions to messages.

A delivery is a call of the sidecar on its app. A single delivery has one event
(`TopicEventRequest`). A bulk delivery has several events of one topic (`TopicEventBulkRequest`),
which are named entries.
"""

from __future__ import annotations

import logging
from typing import Any

from dapr.proto import appcallback_v1

from virtufin.api.client.errors import InvalidReplyError
from virtufin.api.client.events import PubsubEvent
from virtufin.api.dapr._sidecar import cloudevents_json

from .dispatch import Dispatch
from .handler_types import Outcome
from .registry import Registrations, Topic

logger = logging.getLogger("virtufin.api.dapr.app")

# The same attributes as in single deliveries, because daprd adds these to a payload that was
# published without being an event (FromRawPayload in Dapr's code).
_RAW: dict[str, Any] = {"source": "Dapr", "type": "com.dapr.event.sent", "spec_version": "1.0"}
# Media type of a raw payload that names none.
_BINARY = "application/octet-stream"


async def handle_event(dispatch: Dispatch, request: Any, *, bulk: bool = False) -> Outcome:
    """Handles the event of a single delivery. An event that cannot be read is dropped.

    Args:
        dispatch: Dispatch of the app, which calls the handler.
        request: The `TopicEventRequest`.
        bulk: True if the server may have taken the event from a bulk delivery. An event without
            data is then dropped if a sidecar omits data of its media type from bulk deliveries.

    Returns:
        The outcome to answer the sidecar.
    """
    try:
        if bulk:
            _require_data(request)
        event = cloudevents_json.from_topic_event(request)
    except (ValueError, TypeError) as error:
        return drop_unreadable(request.id, request.topic, error)
    return await dispatch.handle_event(request.pubsub_name, request.path, event)


async def handle_bulk_entry(dispatch: Dispatch, request: Any, item: Any) -> Outcome:
    """Handles one event of a bulk delivery. An event that cannot be read is dropped.

    Args:
        dispatch: Dispatch of the app, which calls the handler.
        request: The `TopicEventBulkRequest`.
        item: The entry of the request.

    Returns:
        The outcome to answer the sidecar for this event.
    """
    try:
        event = _read_entry(request, item)
    except (ValueError, TypeError) as error:
        return drop_unreadable(item.entry_id, request.topic, error)
    return await dispatch.handle_event(request.pubsub_name, request.path, event)


def list_subscriptions(registrations: Registrations) -> Any:
    """Returns the subscriptions that the app reports to its sidecar.

    Returns:
        A `ListTopicSubscriptionsResponse`, without subscriptions that the sidecar reads from files.
    """
    # Without declared ones, because the sidecar would drop its declared subscription.
    wanted = [make_subscription(topic) for topic in registrations.topics if not topic.declared]
    return appcallback_v1.ListTopicSubscriptionsResponse(subscriptions=wanted)


def _read_entry(request: Any, item: Any) -> PubsubEvent:
    if item.WhichOneof("event") != "cloud_event":
        # Parsed here, because an entry of a raw subscription holds the whole CloudEvent as bytes.
        if item.content_type.startswith(cloudevents_json.CONTENT_TYPE):
            return PubsubEvent(request.topic, cloudevents_json.from_json(item.bytes))
        raw = appcallback_v1.TopicEventRequest(
            **_RAW,
            id=item.entry_id,
            data_content_type=item.content_type or _BINARY,
            data=item.bytes,
            topic=request.topic,
        )
        return cloudevents_json.from_topic_event(raw)
    event = item.cloud_event
    _require_data(event)
    single = appcallback_v1.TopicEventRequest(
        id=event.id,
        source=event.source,
        type=event.type,
        spec_version=event.spec_version,
        data_content_type=event.data_content_type,
        data=event.data,
        topic=request.topic,
        extensions=event.extensions,
    )
    return cloudevents_json.from_topic_event(single)


def _require_data(event: Any) -> None:
    # Refused, because the handler would take an event whose data daprd left out for an empty event.
    if not event.data and cloudevents_json.is_left_out_of_bulk(event.data_content_type):
        raise ValueError(
            f"daprd leaves data of type {event.data_content_type!r} out of bulk deliveries; "
            "subscribe without bulk="
        )


def drop_unreadable(identifier: str, topic: str, error: Exception) -> Outcome:
    """Logs that an event cannot be read, and returns the outcome DROP.

    Args:
        identifier: Id of the event, or of its entry in a bulk delivery.
        topic: Topic of the event.
        error: The error of reading the event.
    """
    # DROP and not RETRY, because each delivery would be the same. The dead-letter topic, if there
    # is one, keeps the event.
    what = error.message if isinstance(error, InvalidReplyError) else str(error)
    logger.error("event %r of topic %r cannot be read, it is dropped: %s", identifier, topic, what)
    return Outcome.DROP


def make_subscription(topic: Topic) -> Any:
    """Returns the `TopicSubscription` message for a topic and its handlers."""
    wanted = appcallback_v1.TopicSubscription(
        pubsub_name=topic.pubsub_name,
        topic=topic.name,
        metadata=topic.metadata,
        dead_letter_topic=topic.dead_letter_topic or "",
    )
    for route in topic.routes:
        if route.match is None:
            wanted.routes.default = topic.get_path(route)
        else:
            wanted.routes.rules.add(match=route.match, path=topic.get_path(route))
    if topic.bulk is not None:
        wanted.bulk_subscribe.enabled = True
        wanted.bulk_subscribe.max_messages_count = topic.bulk.max_events
        # At least 1 ms, because 0 in this message is the same as a field that is not set.
        wanted.bulk_subscribe.max_await_duration_ms = max(1, round(topic.bulk.max_await * 1000))
    return wanted
