"""Methods of a gateway whose message layout differs from the packaged protos.

Adapted methods take and return packaged messages, which are those of the installed protos. Only the
serialized bytes differ.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError

from virtufin.api.client._protobuf import TIMESTAMP, Translation, kind_of
from virtufin.api.client._transport import Method
from virtufin.api.client.errors import UnsupportedError

from .earlier_events import from_earlier, to_earlier

logger = logging.getLogger("virtufin.api.client.wire")


class AdaptedMethod(Method):
    """A method that translates messages of the installed protos to the gateway's, and back."""

    def __init__(
        self, packaged: Method, service: str, name: str, gateway_classes: tuple[Any, Any]
    ) -> None:
        """Does no I/O.

        Args:
            packaged: The method in the layout of the packaged protos.
            service: Full name of the gateway's service.
            name: Name of the gateway's method.
            gateway_classes: The gateway's message classes for request and response.
        """
        super().__init__(
            service,
            name,
            packaged.request,
            packaged.response,
            server_streaming=packaged.server_streaming,
        )
        self.gateway_classes = request, response = gateway_classes
        # Strict for requests only, because a request that loses a field would do something else,
        # while a reply may have fields that this client does not know.
        self._out = Translation(self.request.DESCRIPTOR, request.DESCRIPTOR, strict=True)
        self._back = Translation(response.DESCRIPTOR, self.response.DESCRIPTOR, strict=False)
        self.encode = self._encode
        self.decode = self._decode

    def _encode(self, request: Any) -> bytes:
        try:
            payload: bytes = self._to_gateway(request).SerializeToString()
        except UnsupportedError:
            raise
        except Exception as error:
            raise self._unsupported_error(error) from error
        return payload

    def _decode(self, raw: bytes) -> Any:
        try:
            return self._to_packaged(self.gateway_classes[1].FromString(raw))
        except Exception as error:
            raise DecodeError(str(error)) from error

    def _to_gateway(self, request: Any) -> Any:
        """Returns the request as a message of the gateway."""
        message = self.gateway_classes[0]()
        self._out.fill(message, request)
        return message

    def _to_packaged(self, message: Any) -> Any:
        """Returns the message of the installed protos for a message of the gateway."""
        response = self.response()
        self._back.fill(response, message)
        return response

    def _unsupported_error(self, reason: object) -> UnsupportedError:
        return UnsupportedError(
            f"this gateway's messages cannot hold all of the request: {reason} (client.wire says "
            "how its messages differ)"
        )


class EarlierPublish(AdaptedMethod):
    """The method `PublishEvent` of gateways that take `data` and `metadata`, not a CloudEvent."""

    def _to_gateway(self, request: Any) -> Any:
        event = request.cloudevent
        if event.HasField("proto_data"):
            raise self._unsupported_error("it carries text and bytes, no protobuf Any")
        data, metadata = to_earlier(event)
        message = self.gateway_classes[0](topic=request.topic, metadata=metadata)
        fields = message.DESCRIPTOR.fields_by_name
        if fields["data"].type == FieldDescriptor.TYPE_STRING:
            try:
                message.data = data.decode()
            except UnicodeDecodeError:
                raise self._unsupported_error("it carries text, no bytes") from None
        else:
            message.data = data
        if "message_id" in fields:
            message.message_id = event.id
        if "timestamp" in fields:
            _set_time(message, metadata.get("ce-time", ""))
        return message


class EarlierEvents(AdaptedMethod):
    """A subscribe method of an earlier gateway; skips events that cannot be read."""

    def _decode(self, raw: bytes) -> Any:
        # An unreadable event is logged and skipped, because raising would end the subscription.
        try:
            return self._to_packaged(self.gateway_classes[1].FromString(raw))
        except Exception as error:  # noqa: BLE001 - of one event, and others follow
            logger.warning("an event that cannot be read is skipped: %s", error)
            return None


class EarlierSubscribe(EarlierEvents):
    """The method `Pubsub.Subscribe` of gateways whose events are `data` and `metadata`.

    Such gateways send events with empty data, id and type as heartbeats, which are skipped.
    """

    def _to_packaged(self, item: Any) -> Any:
        known = item.DESCRIPTOR.fields_by_name
        metadata = dict(item.metadata)
        if "message_id" in known and item.message_id:
            metadata.setdefault("ce-id", item.message_id)
        if "timestamp" in known and (moment := _time(item)):
            metadata.setdefault("ce-time", moment)
        return _event(self.response, item.topic, item.data, metadata)


class EarlierGatewaySubscribe(EarlierEvents):
    """The method `Gateway.Subscribe` of gateways that have no `Pubsub.Subscribe`.

    The event message has no field for extensions, so correlation ids and reply topics are missing.
    """

    def _to_packaged(self, item: Any) -> Any:
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
    # A heartbeat. All three are checked, because an event with empty data alone must arrive.
    if not data and not metadata.get("ce-id") and not metadata.get("ce-type"):
        return None
    return response(topic=topic, cloudevent=from_earlier(data, metadata))


def _set_time(message: Any, text: str) -> None:
    described = message.DESCRIPTOR.fields_by_name["timestamp"]
    if described.type == FieldDescriptor.TYPE_STRING:
        message.timestamp = text
    elif _is_timestamp(described) and text:
        with suppress(ValueError):  # because an invalid time still travels in the metadata
            message.timestamp.FromJsonString(text)


def _time(message: Any) -> str:
    described = message.DESCRIPTOR.fields_by_name["timestamp"]
    if described.type == FieldDescriptor.TYPE_STRING:
        return str(message.timestamp)
    if _is_timestamp(described) and message.HasField("timestamp"):
        return str(message.timestamp.ToJsonString())
    return ""


def _is_timestamp(described: FieldDescriptor) -> bool:
    return kind_of(described) == TIMESTAMP
