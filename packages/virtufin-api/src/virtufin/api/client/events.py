"""Events: `PubsubEvent` for received events, `to_cloudevent` to make events from data.

An event is a CloudEvent, version 1.0, in the protobuf format. `metadata` holds the attributes of an
event as text, with keys such as `ce-type` for the attributes that CloudEvents defines, and bare
names for extensions. That is the older documented form; both forms describe the same event.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from virtufin.api.client._event_attributes import CONTEXT, ExtensionValue, text_of, value_of
from virtufin.api.client._event_template import DEFAULT_TYPE, EventTemplate
from virtufin.api.client._json import from_json
from virtufin.api.client._settings import SOURCE
from virtufin.api.client.errors import InvalidReplyError
from virtufin.api.protos.cloudevents_pb2 import CloudEvent

__all__ = ["DEFAULT_SOURCE", "DEFAULT_TYPE", "PubsubEvent", "to_cloudevent"]

DEFAULT_SOURCE = SOURCE
"""The source of events published without a source."""

# The backends' own convention, because CloudEvents itself has no attribute for a service.
_URN = "urn:com.virtufin."


def source_of(service: str) -> str:
    """Returns the CloudEvents source of a service's events."""
    return f"{_URN}{service}"


class PubsubEvent:
    """An event of a topic. Immutable; equal if topic and CloudEvent are equal."""

    __slots__ = ("__weakref__", "_event", "_topic")

    def __init__(self, topic: str, cloudevent: CloudEvent) -> None:
        self._topic = topic
        self._event = cloudevent

    @property
    def topic(self) -> str:
        """The topic of the event."""
        return self._topic

    @property
    def cloudevent(self) -> CloudEvent:
        """The CloudEvent message as received; treat the message as read-only."""
        return self._event

    @property
    def data(self) -> bytes:
        """The payload as bytes: text as UTF-8, a protobuf Any as its serialized message."""
        kind = self._event.WhichOneof("data")
        if kind == "binary_data":
            return self._event.binary_data
        if kind == "text_data":
            return self._event.text_data.encode()
        return self._event.proto_data.value if kind == "proto_data" else b""

    def data_as_text(self) -> str:
        """Returns the payload decoded as UTF-8.

        Raises:
            InvalidReplyError: The payload is not UTF-8.
        """
        # As is, because encoding and decoding text data again would only cost time.
        if self._event.WhichOneof("data") == "text_data":
            return self._event.text_data
        try:
            return self.data.decode()
        except UnicodeDecodeError as error:
            raise InvalidReplyError(
                f"the data of event {self.message_id!r} is not UTF-8: {error}", topic=self._topic
            ) from None

    def data_as_json(self) -> Any:
        """Returns the payload decoded as JSON.

        Raises:
            InvalidReplyError: The payload is not JSON.
        """
        return from_json(
            self.data_as_text(), f"the data of event {self.message_id!r}", topic=self._topic
        )

    @property
    def message_id(self) -> str:
        """The CloudEvents `id`, unique together with `source`."""
        return self._event.id

    @property
    def source(self) -> str:
        """The origin of the event, a URI-reference."""
        return self._event.source

    @property
    def type(self) -> str:
        """The type of the event, such as `com.virtufin.workmanager.worker.started`."""
        return self._event.type

    @property
    def service(self) -> str:
        """The name of the publishing service: `<service>` in a source `urn:com.virtufin.<service>`.

        Empty for a source of any other form.
        """
        source = self._event.source
        return source[len(_URN) :] if source.startswith(_URN) else ""

    @property
    def timestamp(self) -> str:
        """The time of the event as ISO 8601 text; empty if the event has no time."""
        return self._text("time")

    @property
    def subject(self) -> str:
        """The subject of the event, such as `worker/42`; empty if the event has no subject."""
        return self._text("subject")

    @property
    def content_type(self) -> str:
        """The media type of the payload (`datacontenttype`); empty if not given."""
        return self._text("datacontenttype")

    @property
    def correlation_id(self) -> str:
        """The id that a request and its reply share; empty if the event has no such id."""
        return self._text("correlationid")

    @property
    def reply_topic(self) -> str:
        """The topic to which a reply is expected; empty if none is expected."""
        return self._text("replytopic")

    @property
    def extensions(self) -> dict[str, ExtensionValue]:
        """The extension attributes with their typed values."""
        values = {}
        for name, attribute in self._event.attributes.items():
            value = None if name in CONTEXT else value_of(attribute)
            if value is not None:
                values[name] = value
        return values

    @property
    def metadata(self) -> dict[str, str]:
        """All attributes as text: `ce-id`, `ce-source`, ... and extensions by their name."""
        event = self._event
        pairs = {
            "ce-id": event.id,
            "ce-source": event.source,
            "ce-specversion": event.spec_version,
            "ce-type": event.type,
        }
        # Sorted, because the order of a protobuf map is undefined.
        for name, attribute in sorted(event.attributes.items()):
            pairs[f"ce-{name}" if name in CONTEXT else name] = text_of(attribute)
        return pairs

    def _text(self, name: str) -> str:
        attributes = self._event.attributes
        return text_of(attributes[name]) if name in attributes else ""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PubsubEvent):
            return NotImplemented
        return self._topic == other._topic and self._event == other._event

    def __hash__(self) -> int:
        # Only of these three, because messages have no hash, and source and id identify an event.
        return hash((self._topic, self._event.source, self._event.id))

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (self._topic, self._event.SerializeToString())

    def __repr__(self) -> str:
        return (
            f"<PubsubEvent topic={self._topic!r} id={self._event.id!r} type={self._event.type!r} "
            f"{len(self.data)} bytes>"
        )


def _unpickle(topic: str, event: bytes) -> PubsubEvent:
    return PubsubEvent(topic, CloudEvent.FromString(event))


def to_cloudevent(
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
    default_source: str = DEFAULT_SOURCE,
) -> CloudEvent:
    """Makes the CloudEvent that `publish_async` sends for these arguments.

    Args:
        data: Text, bytes, any value that JSON can hold, or a ready CloudEvent message, which is
            returned unchanged and allows no other argument.
        metadata: Text attributes: `ce-id`, `ce-source`, `ce-type`, `ce-time`, `ce-specversion`,
            `ce-datacontenttype`, `ce-subject`, `ce-dataschema`, and extensions by their name.
        type: The type of the event; default `com.virtufin.client.event.published`.
        source: The origin of the event; default `default_source`.
        subject: The subject of the event.
        content_type: The media type of the data; the default follows from the data's type.
        extensions: Extension attributes: text, bool, 32-bit int, bytes, or datetime with zone.
        correlation_id: The value of the extension `correlationid`.
        reply_topic: The value of the extension `replytopic`.
        default_source: The source of the event if neither `source` nor `metadata` has one.

    Raises:
        InvalidInputError: A name is illegal, a keyword contradicts `metadata`, the data cannot be
            sent, or is a ready message although attributes are given.
    """
    template = EventTemplate(
        metadata,
        type=type,
        source=source,
        subject=subject,
        content_type=content_type,
        extensions=extensions,
        correlation_id=correlation_id,
        reply_topic=reply_topic,
        default_source=default_source,
    )
    return template.make_event(data)
