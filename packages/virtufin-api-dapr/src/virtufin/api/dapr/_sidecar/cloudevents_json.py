"""Events on their way to a sidecar and back.

A sidecar takes complete events in the CloudEvents JSON format and hands them on as messages of its
own, with the attributes it does not know in a `google.protobuf.Struct`. What that loses is said at
`from_topic_event`.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Value

from virtufin.api.client._event_attributes import set_time
from virtufin.api.client._json import BINARY, TEXT, media_type
from virtufin.api.client.errors import InvalidInputError, InvalidReplyError
from virtufin.api.client.events import PubsubEvent
from virtufin.api.protos.cloudevents_pb2 import CloudEvent

CONTENT_TYPE = "application/cloudevents+json"
_PROTOBUF = "application/protobuf"
_INT32 = range(-(2**31), 2**31)
# Added by the sidecar on the way, see "Publishing & subscribing messages with Cloudevents" in the
# Dapr docs; the topic is told beside the event.
_SIDECAR_S_OWN = frozenset({"topic", "pubsubname", "traceid"})
_HANDED_ON_AS_JSON = frozenset({"application/json", CONTENT_TYPE})
# Members that are no attributes, or are no attributes of the message.
_RESERVED = frozenset({"id", "source", "type", "specversion", "data", "data_base64"})
_OFTEN_EMPTY = frozenset({"traceparent", "tracestate"})


def to_json(event: CloudEvent) -> bytes:
    """The event in the structured mode of the CloudEvents JSON format.

    As a sidecar hands it on whole (seen with Dapr 1.18): it loses text and JSON as `data` of an
    event without a media type, or with another one than these: `text/*`, `application/xml`,
    `application/json`, `application/cloudevents+json`; and in bulk deliveries all that is base64.
    So text and JSON of these go in as they are, JSON number for number; all else is base64, JSON
    in bytes too, which stays as it is to the byte. Data without a media type gets one.

    Raises:
        InvalidInputError: The event says that its data is JSON, and it is not; or it has an
            attribute that this format cannot hold.
    """
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
            members[name] = _attribute(value)
        except (ValueError, OverflowError) as error:
            raise InvalidInputError(f"attribute {name!r} cannot be sent: {error}") from None
    json_text = _add_data(members, event)
    text = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
    if json_text is not None:
        # Spliced, not parsed and written again: that would change long numbers.
        text = f'{text[:-1]},"data":{json_text}}}'
    return text.encode()


def from_json(text: bytes) -> CloudEvent:
    """The event that a text in the CloudEvents JSON format holds.

    Raises:
        InvalidReplyError: It is no such text.
    """
    try:
        members = json.loads(text)
        if not isinstance(members, dict):
            raise TypeError("it is no object")
        event = CloudEvent(
            id=_text(members.pop("id", "")),
            source=_text(members.pop("source", "")),
            type=_text(members.pop("type", "")),
            spec_version=_text(members.pop("specversion", "")),
        )
        has_data, data = "data" in members, members.pop("data", None)
        encoded = members.pop("data_base64", None)
        _set_attributes(event, members.items())
        if encoded is not None:
            _set_data(event, base64.b64decode(_text(encoded), validate=True), binary=True)
        elif has_data and isinstance(data, str) and not _is_json(_content_type(event)):
            event.text_data = data
        elif has_data:
            event.text_data = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
            if not _content_type(event):
                event.attributes["datacontenttype"].ce_string = "application/json"
    except (ValueError, TypeError, RecursionError, binascii.Error) as error:
        raise InvalidReplyError(f"not an event in the CloudEvents JSON format: {error}") from None
    return event


def from_topic_event(request: Any) -> PubsubEvent:
    """The event of a `dapr.proto.runtime.v1.TopicEventRequest`.

    Everything is as it was published, except what Dapr's message cannot hold: extensions of bytes
    come back as base64 text, points in time other than `time` as text, and data of an unknown
    media type as bytes. JSON data is handed on as the sidecar wrote it anew.
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
    _set_attributes(event, ((name, _value(value)) for name, value in fields))
    _set_data(event, request.data, binary=False)
    return PubsubEvent(request.topic, event)


def is_left_out_of_bulk(content_type: str) -> bool:
    """Whether a sidecar leaves all data of a media type out of bulk deliveries."""
    as_json = media_type(content_type) in _HANDED_ON_AS_JSON
    return bool(content_type) and not (as_json or _is_handed_on_as_text(content_type))


def _add_data(members: dict[str, Any], event: CloudEvent) -> str | None:
    """Adds the data and its media type, except data that is JSON, which is returned as its text."""
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
    if is_text and _is_json(content_type):
        _check(event.text_data)
    if _is_handed_on_as_text(content_type):
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
            with suppress(InvalidInputError):
                set_time(attribute, value)
                continue
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool):
            attribute.ce_boolean = value
        elif isinstance(value, int) and value in _INT32:
            attribute.ce_integer = value
        else:
            attribute.ce_string = value if isinstance(value, str) else json.dumps(value)


def _set_data(event: CloudEvent, data: bytes, *, binary: bool) -> None:
    content_type = _content_type(event)
    schema = event.attributes["dataschema"].ce_string if "dataschema" in event.attributes else ""
    if content_type == _PROTOBUF and schema:
        event.proto_data.type_url = schema
        event.proto_data.value = data
    elif binary or not (_is_json(content_type) or _is_text(content_type)):
        if data or binary:
            event.binary_data = data
    else:
        try:
            # A sidecar hands JSON null on as nothing, and nothing is no JSON text.
            event.text_data = data.decode() or ("null" if _is_json(content_type) else "")
        except UnicodeDecodeError:
            event.binary_data = data


def _value(value: Value) -> object:
    kind = value.WhichOneof("kind")
    if kind in ("struct_value", "list_value"):
        return MessageToDict(value)
    return None if kind in (None, "null_value") else getattr(value, kind)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text was expected, not {value!r}")
    return value


def _content_type(event: CloudEvent) -> str:
    attributes = event.attributes
    return attributes["datacontenttype"].ce_string if "datacontenttype" in attributes else ""


def _is_handed_on_as_text(content_type: str) -> bool:
    media = media_type(content_type)
    return media.startswith("text/") or media == "application/xml"


def _is_text(content_type: str) -> bool:
    media = media_type(content_type)
    return media.startswith("text/") or media.endswith(("/xml", "+xml"))


def _attribute(value: CloudEvent.CloudEventAttributeValue) -> bool | int | str:
    kind = value.WhichOneof("attr")
    if kind == "ce_timestamp":
        return value.ce_timestamp.ToJsonString()
    if kind == "ce_bytes":
        return base64.b64encode(value.ce_bytes).decode()
    return "" if kind is None else getattr(value, kind)


def _is_json(content_type: object) -> bool:
    return media_type(str(content_type)).endswith(("/json", "+json"))


def _check(text: str) -> None:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        json.loads(text, parse_constant=refuse)
    except ValueError as error:
        raise InvalidInputError(f"the event's data is to be JSON and is not: {error}") from None
    except RecursionError:
        raise InvalidInputError("the event's data is JSON that is nested too deeply") from None
