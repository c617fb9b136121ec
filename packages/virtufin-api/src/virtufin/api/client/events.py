"""Events: `PubsubEvent` for received events, `to_cloudevent` to make events from data.

An event is a CloudEvent, version 1.0, in the protobuf format. `metadata` holds the attributes of an
event as text, with keys such as `ce-type` for the attributes that CloudEvents defines, and bare
names for extensions. That is the older documented form; both forms describe the same event.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from google.protobuf.message import Message

from virtufin.api.client._event_attributes import (
    CONTEXT,
    ExtensionValue,
    checked_name,
    set_time,
    set_value,
    text_of,
    value_of,
)
from virtufin.api.client._json import BINARY, JSON, TEXT, from_json, to_json
from virtufin.api.client._settings import SOURCE
from virtufin.api.client._validation import require_text, short_repr
from virtufin.api.client.errors import InvalidInputError, InvalidReplyError
from virtufin.api.protos.cloudevents_pb2 import CloudEvent

__all__ = ["DEFAULT_SOURCE", "DEFAULT_TYPE", "PubsubEvent", "to_cloudevent"]

DEFAULT_SOURCE = SOURCE
"""The source of events published without a source."""
DEFAULT_TYPE = "com.virtufin.client.event.published"
"""The type of events published without a type."""

# The backends' own convention, because CloudEvents itself has no attribute for a service.
_URN = "urn:com.virtufin."
_SPEC_VERSION = "1.0"
# A block of so many, because a system call for each id costs more than all the rest of making it.
_BLOCK = 64
_VARIANTS = "89ab"


class _Identifiers:
    """A stock of identifiers, made in blocks."""

    def __init__(self) -> None:
        self._left: list[str] = []
        self._process = 0

    def take(self) -> str:
        """Returns the next identifier."""
        # A forked child drops what it has inherited, because its parent returns the same ones.
        if self._process != os.getpid():
            self._left = []
            self._process = os.getpid()
        while True:
            try:
                # One step, because threads share the pool.
                return self._left.pop()
            except IndexError:
                self._left += _make_block()


def _make_block() -> list[str]:
    digits = os.urandom(16 * _BLOCK).hex()
    block = []
    for start in range(0, len(digits), 32):
        some = digits[start : start + 32]
        variant = _VARIANTS[int(some[16], 16) & 3]
        # Version 4 and variant 10, where RFC 9562 has them.
        block.append(f"{some[:8]}-{some[8:12]}-4{some[13:16]}-{variant}{some[17:20]}-{some[20:]}")
    return block


# Shared by the process although it is state, because an identifier depends on nothing before it.
random_id = _Identifiers().take
"""Returns a random UUID (RFC 9562, version 4) as text."""


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
            returned unchanged.
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
        InvalidInputError: A name is illegal, a keyword contradicts `metadata`, or the data cannot
            be sent.
    """
    given = {
        "type": type,
        "source": source,
        "subject": subject,
        "datacontenttype": content_type,
        "correlationid": correlation_id,
        "replytopic": reply_topic,
    }
    keywords = {
        name: require_text(value, _KEYWORDS.get(name, name))
        for name, value in given.items()
        if value is not None
    }
    for what, mapping in (("metadata", metadata), ("extensions", extensions)):
        if mapping is not None and not isinstance(mapping, Mapping):
            raise InvalidInputError(f"{what} must be a mapping, not {short_repr(mapping)}")
    if isinstance(data, Message):
        return _require_cloudevent(data, [*keywords, *(metadata or ()), *(extensions or ())])
    context, others = _from_metadata(metadata)
    for name, value in keywords.items():
        into: dict[str, Any] = context if name in CONTEXT else others
        _merge(into, name, value)
    for name, extension in (extensions or {}).items():
        _merge(others, checked_name(name, "extensions"), extension)
    return _assemble(data, context, others, default_source)


# For error texts, because people know the keywords of this function, not the attribute names.
_KEYWORDS = {
    "datacontenttype": "content_type",
    "correlationid": "correlation_id",
    "replytopic": "reply_topic",
}


def _require_cloudevent(data: Message, extras: list[object]) -> CloudEvent:
    # By name, because other packages have CloudEvent classes of their own for the same message.
    if data.DESCRIPTOR.full_name != CloudEvent.DESCRIPTOR.full_name:
        raise InvalidInputError(
            f"data is a {data.DESCRIPTOR.full_name} message; publish data.SerializeToString(), "
            "or a CloudEvent that holds it"
        )
    # Rejected, because a ready event is sent unchanged and the extras would be lost.
    if extras:
        names = ", ".join(sorted(map(str, extras)))
        raise InvalidInputError(f"a ready CloudEvent goes out untouched; set {names} in it instead")
    if isinstance(data, CloudEvent):
        return data
    return CloudEvent.FromString(data.SerializeToString())


def _from_metadata(metadata: Mapping[str, str] | None) -> tuple[dict[str, str], dict[str, Any]]:
    context: dict[str, str] = {}
    others: dict[str, Any] = {}
    for key, value in (metadata or {}).items():
        text = require_text(value, f"metadata {key!r}")
        # Only with the prefix, because bare names are reserved for extensions.
        name = key[3:] if isinstance(key, str) and key.startswith("ce-") else key
        if name is not key and name in CONTEXT:
            context[name] = text
        else:
            _merge(others, checked_name(name, "metadata"), text)
    return context, others


def _merge(into: dict[str, Any], name: str, value: object) -> None:
    if name in into and into[name] != value:
        raise InvalidInputError(
            f"{_KEYWORDS.get(name, name)} is given twice and differs: {into[name]!r} and {value!r}"
        )
    into[name] = value


def _assemble(
    data: object, context: dict[str, str], extensions: dict[str, Any], default_source: str
) -> CloudEvent:
    version = context.get("specversion", _SPEC_VERSION)
    if version != _SPEC_VERSION:
        raise InvalidInputError(f"ce-specversion must be {_SPEC_VERSION!r}, not {version!r}")
    event = CloudEvent(
        # A random id, because ids must be unique together with the source.
        id=context["id"] if "id" in context else random_id(),
        source=context.get("source", default_source),
        spec_version=version,
        type=context.get("type", DEFAULT_TYPE),
    )
    # Rejected here, because CloudEvents 1.0 requires these attributes to have a value.
    for name in ("id", "source", "type"):
        if not getattr(event, name):
            raise InvalidInputError(f"{name} must not be empty (CloudEvents 1.0)")
    default_content_type = _set_data(event, data)
    attributes = event.attributes
    time_given = context.get("time")
    if time_given is None:
        # Not `GetCurrentTime()`, because that emits a warning on Python 3.12 and later.
        attributes["time"].ce_timestamp.FromNanoseconds(time.time_ns())
    else:
        set_time(attributes["time"], time_given, "ce-time")
    attributes["datacontenttype"].ce_string = context.get("datacontenttype", default_content_type)
    for name in ("subject", "dataschema"):
        if name in context:
            attributes[name].ce_string = context[name]
    for name, value in extensions.items():
        set_value(attributes[name], value, f"attribute {name!r}")
    return event


def _set_data(event: CloudEvent, data: object) -> str:
    """Stores the payload in a CloudEvent and returns its media type.

    Raises:
        InvalidInputError: JSON cannot hold the data.
    """
    if isinstance(data, str):
        event.text_data = require_text(data, "data")
        return TEXT
    if isinstance(data, (bytes, bytearray, memoryview)):
        event.binary_data = bytes(data)
        return BINARY
    event.text_data = to_json(data, "data")
    return JSON
