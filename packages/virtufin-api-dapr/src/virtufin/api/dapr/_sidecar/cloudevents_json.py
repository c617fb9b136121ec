"""Encoding of events for a sidecar and decoding of the sidecar's deliveries.

A sidecar accepts events in the CloudEvents JSON format, and delivers events as messages of the type
`TopicEventRequest`. These messages hold the extension attributes of an event in a
`google.protobuf.Struct`, which has fewer types than CloudEvents. `from_topic_event` lists what
changes on the way.
"""

from __future__ import annotations

import base64
import binascii
import enum
import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Value

from virtufin.api.client._event_attributes import fits_integer, set_time
from virtufin.api.client._json import BINARY, TEXT, media_type
from virtufin.api.client.errors import InvalidInputError, InvalidReplyError
from virtufin.api.client.events import PubsubEvent
from virtufin.api.protos.cloudevents_pb2 import CloudEvent

CONTENT_TYPE = "application/cloudevents+json"
_PROTOBUF = "application/protobuf"
# Removed from events, because the sidecar adds these attributes, see "Publishing & subscribing
# messages with Cloudevents" in the Dapr docs. The topic is also in the message beside the event.
_SIDECAR_S_OWN = frozenset({"topic", "pubsubname", "traceid"})
# Media types whose member `data` a sidecar parses as JSON and passes on.
_HANDED_ON_AS_JSON = frozenset({"application/json", CONTENT_TYPE})
# Refused as attributes, because these members of the JSON format come from other fields of the
# message.
_RESERVED = frozenset({"id", "source", "type", "specversion", "data", "data_base64"})
# Removed if empty, because a sidecar may add these without a value.
_OFTEN_EMPTY = frozenset({"traceparent", "tracestate"})


class Form(enum.Enum):
    """The member that holds the data of an event."""

    JSON = "data, as JSON"
    TEXT = "data, as text"
    BASE64 = "data_base64"


def form_of(content_type: str, *, is_text: bool) -> Form:
    """Returns the form of data of a media type; see `to_json`.

    Args:
        content_type: The media type, with or without parameters.
        is_text: True if the event holds the data as text, False for bytes.
    """
    if _is_handed_on_as_text(content_type):
        return Form.TEXT
    if is_text and media_type(content_type) in _HANDED_ON_AS_JSON:
        return Form.JSON
    return Form.BASE64


def to_json(event: CloudEvent) -> bytes:
    """Returns an event as UTF-8 text in the structured mode of the CloudEvents JSON format.

    The form of the data depends on its media type:

    - Data of `text/*` and `application/xml` becomes the member `data`, if the data is UTF-8.
    - Text data of `application/json` and `application/cloudevents+json` becomes the member `data`
      too. JSON numbers keep their digits.
    - All other data becomes the member `data_base64`, which keeps every byte. JSON that the event
      holds as bytes is an example.

    Data without a media type gets one: `text/plain` for text, `application/octet-stream` for bytes.

    Args:
        event: The event.

    Raises:
        InvalidInputError: The data has a JSON media type but is not JSON, or this format cannot
            hold an attribute of the event.
    """
    # Only these media types as `data`, because a sidecar loses the `data` of all others, and of an
    # event without a media type (seen with Dapr 1.18). Not everything as base64, because a sidecar
    # loses base64 in bulk deliveries.
    members: dict[str, Any] = {
        "specversion": event.spec_version or "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
    }
    for name, value in event.attributes.items():
        if name in _RESERVED:
            raise InvalidInputError(f"an attribute cannot have the name {name!r} (CloudEvents 1.0)")
        try:
            members[name] = _to_json_value(value)
        except (ValueError, OverflowError) as error:
            raise InvalidInputError(f"attribute {name!r} cannot be sent: {error}") from None
    json_text = _add_data(members, event)
    text = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
    if json_text is not None:
        # Inserted as text, because parsing and writing it again would change long numbers.
        text = f'{text[:-1]},"data":{json_text}}}'
    return text.encode()


def from_json(text: bytes) -> CloudEvent:
    """Parses an event in the CloudEvents JSON format.

    Args:
        text: The text as UTF-8.

    Raises:
        InvalidReplyError: The text is not an event in this format.
    """
    try:
        members = json.loads(text)
        if not isinstance(members, dict):
            raise TypeError("it is no object")
        event = CloudEvent(
            id=_require_text(members.pop("id", "")),
            source=_require_text(members.pop("source", "")),
            type=_require_text(members.pop("type", "")),
            spec_version=_require_text(members.pop("specversion", "")),
        )
        has_data, data = "data" in members, members.pop("data", None)
        encoded = members.pop("data_base64", None)
        _set_attributes(event, members.items())
        if encoded is not None:
            _set_data(event, base64.b64decode(_require_text(encoded), validate=True), binary=True)
        elif has_data and isinstance(data, str) and not is_json(_get_content_type(event)):
            event.text_data = data
        elif has_data:
            event.text_data = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
            if not _get_content_type(event):
                event.attributes["datacontenttype"].ce_string = "application/json"
    except (ValueError, TypeError, RecursionError, binascii.Error) as error:
        raise InvalidReplyError(f"not an event in the CloudEvents JSON format: {error}") from None
    return event


def from_topic_event(request: Any) -> PubsubEvent:
    """Returns the event that a sidecar has delivered.

    The event is equal to the published event, except for values that Dapr's message cannot hold:

    - Extension attributes of type bytes become base64 text.
    - Timestamps other than `time` become text.
    - Data of an unknown media type becomes bytes.
    - JSON data is the sidecar's text: the sidecar parses JSON and writes it again.

    Args:
        request: The `dapr.proto.runtime.v1.TopicEventRequest` of the delivery.

    Raises:
        ValueError: The request holds a value that no event can hold.
        TypeError: An attribute of the request has a type that no event can hold.
    """
    event = CloudEvent(
        id=request.id,
        source=request.source,
        type=request.type,
        spec_version=request.spec_version,
    )
    if request.data_content_type:
        event.attributes["datacontenttype"].ce_string = request.data_content_type
    fields = request.extensions.fields.items()
    _set_attributes(event, ((name, _from_struct_value(value)) for name, value in fields))
    _set_data(event, request.data, binary=False)
    return PubsubEvent(request.topic, event)


def is_left_out_of_bulk(content_type: str) -> bool:
    """Returns whether a sidecar omits the data of a media type from bulk deliveries.

    A bulk delivery is one call with several events.
    """
    as_json = media_type(content_type) in _HANDED_ON_AS_JSON
    return bool(content_type) and not (as_json or _is_handed_on_as_text(content_type))


def _add_data(members: dict[str, Any], event: CloudEvent) -> str | None:
    """Adds the data and its media type to the members of the JSON format.

    Returns:
        The text of JSON data, which is not added; None for other data.
    """
    kind = event.WhichOneof("data")
    if kind is None:
        return None
    if kind == "proto_data":
        members.setdefault("datacontenttype", _PROTOBUF)
        members.setdefault("dataschema", event.proto_data.type_url)
        members["data_base64"] = base64.b64encode(event.proto_data.value).decode()
        return None
    is_text = kind == "text_data"
    content_type = str(members.get("datacontenttype") or (TEXT if is_text else BINARY))
    members["datacontenttype"] = content_type
    data = event.text_data.encode() if is_text else event.binary_data
    if is_text and is_json(content_type):
        require_json(event.text_data)
    if _is_handed_on_as_text(content_type):
        # Suppressed, because data that is not UTF-8 can be sent as base64.
        with suppress(UnicodeDecodeError):
            members["data"] = data.decode()
            return None
    if is_text and media_type(content_type) in _HANDED_ON_AS_JSON:
        return event.text_data
    members["data_base64"] = base64.b64encode(data).decode()
    return None


def _set_attributes(event: CloudEvent, members: Iterable[tuple[str, object]]) -> None:
    for name, value in members:
        if name in _SIDECAR_S_OWN or value is None or (name in _OFTEN_EMPTY and not value):
            continue
        attribute = event.attributes[name]
        if name == "time" and isinstance(value, str):
            # Kept as text, because a time that cannot be parsed must not lose the event.
            with suppress(InvalidInputError):
                set_time(attribute, value)
                continue
        # Converted back, because a Struct holds every number as a float.
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool):
            attribute.ce_boolean = value
        elif isinstance(value, int) and fits_integer(value):
            attribute.ce_integer = value
        else:
            attribute.ce_string = value if isinstance(value, str) else json.dumps(value)


def _set_data(event: CloudEvent, data: bytes, *, binary: bool) -> None:
    content_type = _get_content_type(event)
    schema = event.attributes["dataschema"].ce_string if "dataschema" in event.attributes else ""
    if content_type == _PROTOBUF and schema:
        event.proto_data.type_url = schema
        event.proto_data.value = data
    elif binary or not (is_json(content_type) or _is_text(content_type)):
        if data or binary:
            event.binary_data = data
    else:
        try:
            # "null" for no data, because a sidecar delivers JSON null as empty data, and an empty
            # text is not JSON.
            event.text_data = data.decode() or ("null" if is_json(content_type) else "")
        except UnicodeDecodeError:
            event.binary_data = data


def _from_struct_value(value: Value) -> object:
    kind = value.WhichOneof("kind")
    if kind in ("struct_value", "list_value"):
        return MessageToDict(value)
    return None if kind in (None, "null_value") else getattr(value, kind)


def _require_text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text was expected, not {value!r}")
    return value


def _get_content_type(event: CloudEvent) -> str:
    attributes = event.attributes
    return attributes["datacontenttype"].ce_string if "datacontenttype" in attributes else ""


def _is_handed_on_as_text(content_type: str) -> bool:
    media = media_type(content_type)
    return media.startswith("text/") or media == "application/xml"


def _is_text(content_type: str) -> bool:
    media = media_type(content_type)
    return media.startswith("text/") or media.endswith(("/xml", "+xml"))


def _to_json_value(value: CloudEvent.CloudEventAttributeValue) -> bool | int | str:
    kind = value.WhichOneof("attr")
    if kind == "ce_timestamp":
        return value.ce_timestamp.ToJsonString()
    if kind == "ce_bytes":
        return base64.b64encode(value.ce_bytes).decode()
    return "" if kind is None else getattr(value, kind)


def is_json(content_type: object) -> bool:
    """Returns whether data of a media type is JSON."""
    return media_type(str(content_type)).endswith(("/json", "+json"))


def require_json(text: str) -> None:
    """Verifies that a text is JSON.

    Raises:
        InvalidInputError: It is not.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        json.loads(text, parse_constant=refuse)
    except ValueError as error:
        raise InvalidInputError(f"the event's data must be JSON and is not: {error}") from None
    except RecursionError:
        raise InvalidInputError("the event's data is JSON that is nested too deeply") from None
