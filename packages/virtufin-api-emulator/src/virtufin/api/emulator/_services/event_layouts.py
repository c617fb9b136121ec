"""Conversion of events between serialized CloudEvents and the messages of clients.

Inside the emulator an event is always a serialized CloudEvent. The messages by which clients
publish and receive events depend on the message layout of the gateway.
"""

from __future__ import annotations

import json
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from virtufin.api.client._wire import Wire, from_earlier, to_earlier
from virtufin.api.emulator._backends import Event
from virtufin.api.emulator._status_errors import InvalidArgumentError, StatusError
from virtufin.api.emulator._wires import EVENT, PUBLISH, SUBSCRIBE, with_passthrough_events
from virtufin.api.protos.cloudevents_pb2 import CloudEvent


class Layout(ABC):
    """The form of events in the messages of one message layout.

    Args:
        wire: Message layout of the gateway.
    """

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        """The message layout by which events are published and received."""

    @abstractmethod
    def read_event(self, request: Any) -> bytes:
        """Returns the event of a publish request as a serialized CloudEvent.

        Args:
            request: The PublishRequest.

        Raises:
            StatusError: The request has no event, or an event that is no CloudEvent.
        """

    @abstractmethod
    def make_item(self, event: Event) -> Any:
        """Returns the SubscribeResponse that carries an event to a subscriber."""


class CloudEventLayout(Layout):
    """The form in the messages of the installed protos: `cloudevent` holds the whole event."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(with_passthrough_events(wire))

    def read_event(self, request: Any) -> bytes:
        if not request.HasField(EVENT):
            raise InvalidArgumentError("cloudevent must be set")
        event: bytes = request.cloudevent
        try:
            # Only checked. The bytes are passed on unchanged, because serializing again may change
            # their order.
            CloudEvent.FromString(event)
        except DecodeError as error:
            raise StatusError(
                grpc.StatusCode.INTERNAL, "cloudevent is not a CloudEvent message"
            ) from error
        return event

    def make_item(self, event: Event) -> Any:
        return self.wire[SUBSCRIBE].response(topic=event.topic, cloudevent=event.cloudevent)


class EarlierLayout(Layout):
    """The form in the messages of earlier gateways: payload in `data`, attributes in `metadata`."""

    def read_event(self, request: Any) -> bytes:
        metadata = dict(request.metadata)
        for key, text in (("ce-id", request.message_id), ("ce-time", request.timestamp)):
            if text and not metadata.get(key):
                metadata[key] = text
        return from_earlier(request.data, metadata).SerializeToString()

    def make_item(self, event: Event) -> Any:
        data, metadata = to_earlier(CloudEvent.FromString(event.cloudevent))
        return self.wire[SUBSCRIBE].response(
            topic=event.topic,
            data=data,
            metadata=metadata,
            message_id=metadata.get("ce-id", ""),
            timestamp=metadata.get("ce-time", ""),
        )


def has_earlier_events(wire: Wire) -> bool:
    """Returns True if a message layout has events in the form of earlier gateways."""
    # Decided by the missing field, because a layout made from descriptors has no name.
    carriers = [wire[PUBLISH].request] if PUBLISH in wire else []
    carriers += [wire[SUBSCRIBE].response] if SUBSCRIBE in wire else []
    return any(EVENT not in carrier.DESCRIPTOR.fields_by_name for carrier in carriers)


def choose_layout(wire: Wire) -> Layout:
    """Returns the form of events in the messages of a message layout."""
    return EarlierLayout(wire) if has_earlier_events(wire) else CloudEventLayout(wire)


def make_json_event(*, source: str, kind: str, subject: str, data: Mapping[str, Any]) -> bytes:
    """Returns a new serialized CloudEvent with a JSON payload, a new id and the current time.

    Args:
        source: Short name of the service that the event comes from, such as `api` for
            `urn:com.virtufin.api`.
        kind: End of the event type after the source, such as `state.change` for
            `com.virtufin.api.state.change`.
        subject: Subject of the event, `<entity_type>/<id>`.
        data: Payload of the event.
    """
    event = CloudEvent(
        id=str(uuid.uuid4()),
        source=f"urn:com.virtufin.{source}",
        spec_version="1.0",
        type=f"com.virtufin.{source}.{kind}",
        text_data=json.dumps(data),
    )
    # Not `GetCurrentTime()`, because that warns on Python 3.12 and later.
    event.attributes["time"].ce_timestamp.FromDatetime(datetime.now(timezone.utc))
    event.attributes["datacontenttype"].ce_string = "application/json"
    event.attributes["subject"].ce_string = subject
    return event.SerializeToString()
