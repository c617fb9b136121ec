"""Events to publish: the attributes that many have in common, checked once, and the parts of each.

The parts of an event are written in two formats: as a CloudEvent message for the gateway, and as
JSON for a Dapr sidecar, by the Dapr plugin.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from google.protobuf.message import Message

from virtufin.api.client._event_attributes import (
    CONTEXT,
    ExtensionValue,
    checked_name,
    nanoseconds,
    require_value,
    set_value,
)
from virtufin.api.client._json import BINARY, JSON, TEXT, to_json
from virtufin.api.client._settings import SOURCE
from virtufin.api.client._validation import require_text, short_repr
from virtufin.api.client.errors import InvalidInputError
from virtufin.api.protos.cloudevents_pb2 import CloudEvent

DEFAULT_TYPE = "com.virtufin.client.event.published"
"""The type of events published without a type."""
SPEC_VERSION = "1.0"

# For error texts, because people know the keywords of `publish_async`, not the attribute names.
_KEYWORDS = {
    "datacontenttype": "content_type",
    "correlationid": "correlation_id",
    "replytopic": "reply_topic",
}


class EventTemplate:
    """The attributes of events, checked. One template serves any number of events."""

    __slots__ = (
        "_given",
        "_prototypes",
        "attributes",
        "content_type",
        "id",
        "is_shared",
        "source",
        "time",
        "type",
    )

    def __init__(
        self,
        metadata: Mapping[str, str] | None = None,
        *,
        type: str | None = None,  # noqa: A002 - the CloudEvents name
        source: str | None = None,
        subject: str | None = None,
        content_type: str | None = None,
        extensions: Mapping[str, ExtensionValue] | None = None,
        correlation_id: str | None = None,
        reply_topic: str | None = None,
        default_source: str = SOURCE,
    ) -> None:
        """Checks the attributes. Arguments are those of `to_cloudevent`.

        Raises:
            InvalidInputError: A name is illegal, a value does not fit, or a keyword contradicts
                `metadata`.
        """
        for what, mapping in (("metadata", metadata), ("extensions", extensions)):
            if mapping is not None and not isinstance(mapping, Mapping):
                raise InvalidInputError(f"{what} must be a mapping, not {short_repr(mapping)}")
        context, others = _from_metadata(metadata)
        keywords = []
        for name, value in (
            ("type", type),
            ("source", source),
            ("subject", subject),
            ("datacontenttype", content_type),
            ("correlationid", correlation_id),
            ("replytopic", reply_topic),
        ):
            if value is not None:
                keywords.append(name)
                text = require_text(value, _KEYWORDS.get(name, name))
                _merge(context if name in CONTEXT else others, name, text)
        for name, extension in (extensions or {}).items():
            _merge(others, checked_name(name, "extensions"), extension)
        version = context.get("specversion", SPEC_VERSION)
        if version != SPEC_VERSION:
            raise InvalidInputError(f"ce-specversion must be {SPEC_VERSION!r}, not {version!r}")
        self.id = context.get("id")
        """The id of the events; None for a random one each."""
        self.source = require_text(context.get("source", default_source), "source")
        self.type: str = context.get("type", DEFAULT_TYPE)
        # Rejected here, because CloudEvents 1.0 requires these attributes to have a value.
        for name, value in (("id", self.id), ("source", self.source), ("type", self.type)):
            if value == "":
                raise InvalidInputError(f"{name} must not be empty (CloudEvents 1.0)")
        self.time = nanoseconds(context["time"], "ce-time") if "time" in context else None
        """Nanoseconds since 1970; None for the time at which each event is made."""
        self.content_type = context.get("datacontenttype")
        """The media type of the data; None for the one that follows from the data's type."""
        self.attributes: tuple[tuple[str, ExtensionValue], ...] = (
            *((name, context[name]) for name in ("subject", "dataschema") if name in context),
            *(
                (name, require_value(value, f"attribute {name!r}"))
                for name, value in others.items()
            ),
        )
        """The other attributes, by name."""
        self.is_shared = False
        """True if several events are made from this template, so that it costs none of them."""
        self._given = (*keywords, *map(str, metadata or ()), *(extensions or ()))
        self._prototypes: dict[str, bytes] = {}

    def make_event(self, data: object) -> CloudEvent:
        """Returns an event with this data; a ready CloudEvent message unchanged.

        Args:
            data: Text, bytes, any value that JSON can hold, or a ready CloudEvent message.

        Raises:
            InvalidInputError: The data cannot be sent, or is a ready message although attributes
                were given.
        """
        if isinstance(data, Message):
            return self.require_ready(data)
        return self.parts(data).to_message()

    def require_ready(self, data: Message) -> CloudEvent:
        """Returns `data`, which must be a CloudEvent message; there may be no attributes then.

        Raises:
            InvalidInputError: It is another message, or attributes were given.
        """
        # By name, because other packages have CloudEvent classes of their own for the same message.
        if data.DESCRIPTOR.full_name != CloudEvent.DESCRIPTOR.full_name:
            raise InvalidInputError(
                f"data is a {data.DESCRIPTOR.full_name} message; publish data.SerializeToString(), "
                "or a CloudEvent that holds it"
            )
        # Rejected, because a ready event is sent unchanged and the extras would be lost.
        if self._given:
            names = ", ".join(sorted(self._given))
            raise InvalidInputError(
                f"a ready CloudEvent goes out untouched; set {names} in it instead"
            )
        if isinstance(data, CloudEvent):
            return data
        event: CloudEvent = CloudEvent.FromString(data.SerializeToString())
        return event

    def parts(self, data: object) -> EventParts:
        """Returns the parts of an event with this data.

        Args:
            data: Text, bytes, or any value that JSON can hold.

        Raises:
            InvalidInputError: The data is not valid Unicode text, or JSON cannot hold it.
        """
        payload: str | bytes
        is_json = False
        if isinstance(data, str):
            # The text itself, because a subclass such as an enum may show another one.
            payload, default = data if type(data) is str else str.__str__(data), TEXT
        elif isinstance(data, (bytes, bytearray, memoryview)):
            payload, default = bytes(data), BINARY
        else:
            payload, default, is_json = to_json(data, "data"), JSON, True
        return EventParts(
            self,
            # A random id, because ids must be unique together with the source.
            random_id() if self.id is None else self.id,
            time.time_ns() if self.time is None else self.time,
            payload,
            default if self.content_type is None else self.content_type,
            is_json,
        )

    def prototype(self, content_type: str) -> bytes:
        """Returns what the messages of all events with a media type have in common, serialized.

        Args:
            content_type: The media type of the data.
        """
        known = self._prototypes.get(content_type)
        if known is None:
            message = CloudEvent(source=self.source, type=self.type, spec_version=SPEC_VERSION)
            attributes = message.attributes
            attributes["datacontenttype"].ce_string = content_type
            for name, value in self.attributes:
                set_value(attributes[name], value, f"attribute {name!r}")
            known = self._prototypes[content_type] = message.SerializeToString()
        return known


Kind = TypeVar("Kind", bound=EventTemplate)


class EventTemplates(Generic[Kind]):
    """The templates of one publisher, kept for the attributes that it uses again and again."""

    # So many, because a service has a few types of events, and no more memory must be kept.
    _MOST = 64

    def __init__(self, default_source: str, kind: Callable[..., Kind]) -> None:
        """Keeps no template yet.

        Args:
            default_source: The source of events for which no other source is given.
            kind: The class of the templates.
        """
        self._default_source = default_source
        self._kind = kind
        self._known: dict[tuple[Any, ...], Kind] = {}

    def get(
        self,
        metadata: Mapping[str, str] | None = None,
        *,
        type: str | None = None,  # noqa: A002 - the CloudEvents name
        source: str | None = None,
        subject: str | None = None,
        content_type: str | None = None,
        extensions: Mapping[str, ExtensionValue] | None = None,
        correlation_id: str | None = None,
        reply_topic: str | None = None,
    ) -> Kind:
        """Returns the template for these attributes. Arguments are those of `to_cloudevent`.

        Raises:
            InvalidInputError: As `EventTemplate`.
        """
        key = None
        # Only these, because the others differ from event to event, or may be changed by the
        # caller.
        if (
            metadata is None
            and extensions is None
            and correlation_id is None
            and reply_topic is None
        ):
            key = (type, source, subject, content_type)
            try:
                known = self._known.get(key)
            except TypeError:  # an argument that cannot be hashed, which the template refuses
                known = key = None
            if known is not None:
                return known
        template = self._kind(
            metadata,
            type=type,
            source=source,
            subject=subject,
            content_type=content_type,
            extensions=extensions,
            correlation_id=correlation_id,
            reply_topic=reply_topic,
            default_source=self._default_source,
        )
        if key is not None:
            if len(self._known) == self._MOST:
                self._known.clear()
            self._known[key] = template
            template.is_shared = True
        return template


class EventParts(NamedTuple):
    """An event to publish. Holds nothing that its publisher could change later."""

    # A tuple, because thousands of events may be pending and the garbage collector would visit each
    # message again and again.
    template: EventTemplate
    id: str
    time: int
    """Nanoseconds since 1970."""
    data: str | bytes
    content_type: str
    is_json: bool
    """True if the data is a value that was written as JSON."""

    def to_message(self) -> CloudEvent:
        """Returns the event as a CloudEvent message.

        Raises:
            InvalidInputError: The data is not valid Unicode text.
        """
        prototype = self.template.prototype(self.content_type)
        event: CloudEvent = CloudEvent.FromString(prototype)
        event.id = self.id
        moment = event.attributes["time"].ce_timestamp
        moment.seconds, moment.nanos = divmod(self.time, 10**9)
        if isinstance(self.data, bytes):
            event.binary_data = self.data
            return event
        try:
            event.text_data = self.data
        except ValueError:  # which protobuf raises for a lone surrogate
            require_text(self.data, "data")
            raise
        return event


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
                # One step, because threads share the stock.
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
