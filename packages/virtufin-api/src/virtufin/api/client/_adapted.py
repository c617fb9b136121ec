"""Methods of a gateway whose messages are laid out in another way than the packaged ones.

To the rest of the client they look like the packaged methods; only bytes differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError

from virtufin.api.client._earlier import flattened, restored
from virtufin.api.client._method import Method
from virtufin.api.client._translate import CannotTranslateError, Translation
from virtufin.api.client.errors import UnsupportedError

_TIMESTAMP = "google.protobuf.Timestamp"


@dataclass(frozen=True)
class AdaptedMethod(Method):
    """A method whose messages are those of the gateway, translated by field name."""

    theirs: tuple[Any, Any] = (None, None)
    """The gateway's message classes for request and response."""

    def __post_init__(self) -> None:
        there = self.theirs
        out = Translation(self.request.DESCRIPTOR, there[0].DESCRIPTOR, strict=True)
        back = Translation(there[1].DESCRIPTOR, self.response.DESCRIPTOR, strict=False)
        object.__setattr__(self, "_out", out)
        object.__setattr__(self, "_back", back)

    def encode(self, request: Any) -> bytes:
        message = self.theirs[0]()
        try:
            self._translation("_out").fill(message, request)
        except CannotTranslateError as error:
            raise self._unsupported(error) from error
        payload: bytes = message.SerializeToString()
        return payload

    def decode(self, raw: bytes) -> Any:
        response = self.response()
        try:
            self._translation("_back").fill(response, self.theirs[1].FromString(raw))
        except CannotTranslateError as error:
            raise DecodeError(str(error)) from error
        return response

    def _translation(self, name: str) -> Translation:
        return cast("Translation", getattr(self, name))

    def _unsupported(self, reason: object) -> UnsupportedError:
        return UnsupportedError(
            f"this gateway cannot be told all of the request: {reason} (client.wire says how its "
            "messages differ)"
        )


@dataclass(frozen=True)
class EarlierPublish(AdaptedMethod):
    """`PublishEvent` of gateways that take `data` and `metadata` instead of a CloudEvent."""

    def encode(self, request: Any) -> bytes:
        event = request.cloudevent
        if event.HasField("proto_data"):
            raise self._unsupported("it carries text and bytes, no protobuf Any")
        data, metadata = flattened(event)
        message = self.theirs[0](topic=request.topic, metadata=metadata)
        fields = message.DESCRIPTOR.fields_by_name
        if fields["data"].type == FieldDescriptor.TYPE_STRING:
            try:
                message.data = data.decode()
            except UnicodeDecodeError:
                raise self._unsupported("it carries text, no bytes") from None
        else:
            message.data = data
        if "message_id" in fields:
            message.message_id = event.id
        if "timestamp" in fields:
            _set_time(message, metadata.get("ce-time", ""))
        payload: bytes = message.SerializeToString()
        return payload


@dataclass(frozen=True)
class EarlierSubscribe(AdaptedMethod):
    """`Pubsub.Subscribe` of gateways whose events come as `data` and `metadata`.

    They send events with empty data, id and type as heartbeats.
    """

    def decode(self, raw: bytes) -> Any:
        item = self.theirs[1].FromString(raw)
        known = item.DESCRIPTOR.fields_by_name
        metadata = dict(item.metadata)
        if "message_id" in known and item.message_id:
            metadata.setdefault("ce-id", item.message_id)
        if "timestamp" in known and (moment := _time(item)):
            metadata.setdefault("ce-time", moment)
        return _event(self.response, item.topic, item.data, metadata)


@dataclass(frozen=True)
class EarlierGatewaySubscribe(AdaptedMethod):
    """`Gateway.Subscribe`, where a gateway has no `Pubsub.Subscribe`.

    Its event message has no place for extensions, correlation ids and reply topics among them.
    """

    def decode(self, raw: bytes) -> Any:
        item = self.theirs[1].FromString(raw)
        metadata = {
            "ce-id": item.id,
            "ce-source": item.source,
            "ce-type": item.type,
            "ce-specversion": item.spec_version,
            "ce-datacontenttype": item.data_content_type,
        }
        given = {key: text for key, text in metadata.items() if text}
        return _event(self.response, item.topic, item.data, given)


def _event(response: Any, topic: str, data: bytes | str, metadata: dict[str, str]) -> Any:
    if not data and not metadata.get("ce-id") and not metadata.get("ce-type"):
        return None
    return response(topic=topic, cloudevent=restored(data, metadata))


def _set_time(message: Any, text: str) -> None:
    field = message.DESCRIPTOR.fields_by_name["timestamp"]
    if field.type == FieldDescriptor.TYPE_STRING:
        message.timestamp = text
    elif _is_timestamp(field) and text:
        message.timestamp.FromJsonString(text)


def _time(message: Any) -> str:
    field = message.DESCRIPTOR.fields_by_name["timestamp"]
    if field.type == FieldDescriptor.TYPE_STRING:
        return str(message.timestamp)
    if _is_timestamp(field) and message.HasField("timestamp"):
        return str(message.timestamp.ToJsonString())
    return ""


def _is_timestamp(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.full_name == _TIMESTAMP
