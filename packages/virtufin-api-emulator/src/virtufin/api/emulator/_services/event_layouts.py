"""How events lie in the messages that are published and subscribed.

Between publishers and subscribers an event is a serialized CloudEvent, whatever the layout.
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

from virtufin.api.client._wire import Wire, flattened, restored
from virtufin.api.emulator._backends import Event
from virtufin.api.emulator._status_errors import RefusedError, invalid
from virtufin.api.emulator._wires import EVENT, PUBLISH, SUBSCRIBE, with_opaque_events
from virtufin.api.protos.cloudevents_pb2 import CloudEvent


class Layout(ABC):
    """One way to write events."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        """The wire to serve with."""

    @abstractmethod
    def event(self, request: Any) -> bytes:
        """The event that a PublishRequest carries.

        Raises:
            RefusedError: It carries none.
        """

    @abstractmethod
    def item(self, event: Event) -> Any:
        """The SubscribeResponse that carries an event."""


class Whole(Layout):
    """The event as it is, in `cloudevent`."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(with_opaque_events(wire))

    def event(self, request: Any) -> bytes:
        if not request.HasField(EVENT):
            raise invalid("cloudevent must be set")
        event: bytes = request.cloudevent
        try:
            CloudEvent.FromString(event)
        except DecodeError as error:
            raise RefusedError(
                grpc.StatusCode.INTERNAL, "cloudevent is not a CloudEvent message"
            ) from error
        return event

    def item(self, event: Event) -> Any:
        return self.wire[SUBSCRIBE].response(topic=event.topic, cloudevent=event.cloudevent)


class Flat(Layout):
    """Of earlier gateways: payload in `data`, attributes in `metadata`."""

    def event(self, request: Any) -> bytes:
        metadata = dict(request.metadata)
        for key, text in (("ce-id", request.message_id), ("ce-time", request.timestamp)):
            if text and not metadata.get(key):
                metadata[key] = text
        return restored(request.data, metadata).SerializeToString()

    def item(self, event: Event) -> Any:
        data, metadata = flattened(CloudEvent.FromString(event.cloudevent))
        return self.wire[SUBSCRIBE].response(
            topic=event.topic,
            data=data,
            metadata=metadata,
            message_id=metadata.get("ce-id", ""),
            timestamp=metadata.get("ce-time", ""),
        )


def is_flat(wire: Wire) -> bool:
    """Whether events have the layout of earlier gateways."""
    carriers = [wire[PUBLISH].request] if PUBLISH in wire else []
    carriers += [wire[SUBSCRIBE].response] if SUBSCRIBE in wire else []
    return any(EVENT not in carrier.DESCRIPTOR.fields_by_name for carrier in carriers)


def layout_of(wire: Wire) -> Layout:
    """The layout that the wire's messages have."""
    return Flat(wire) if is_flat(wire) else Whole(wire)


def json_event(*, source: str, kind: str, subject: str, data: Mapping[str, Any]) -> bytes:
    """A serialized CloudEvent of now with a JSON payload.

    Args:
        source: Short name of the service, `api` for `urn:com.virtufin.api`.
        kind: The last parts of its type, `state.change` for `com.virtufin.api.state.change`.
        subject: `<entity_type>/<id>`.
        data: The payload.
    """
    event = CloudEvent(
        id=str(uuid.uuid4()),
        source=f"urn:com.virtufin.{source}",
        spec_version="1.0",
        type=f"com.virtufin.{source}.{kind}",
        text_data=json.dumps(data),
    )
    event.attributes["time"].ce_timestamp.FromDatetime(datetime.now(timezone.utc))
    event.attributes["datacontenttype"].ce_string = "application/json"
    event.attributes["subject"].ce_string = subject
    return event.SerializeToString()
