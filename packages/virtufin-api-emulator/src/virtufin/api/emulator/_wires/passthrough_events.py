"""Events as bytes: the gateway passes a CloudEvent through unchanged.

Parsing and serializing an event keeps its meaning but not its bytes, such as the order of map
entries. A message field and a bytes field have the same encoding, so the two messages that carry
events are read and written here with the event as `bytes`.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from virtufin.api.client._transport import Method
from virtufin.api.client._wire import Wire

PUBLISH = "Pubsub.PublishEvent"
SUBSCRIBE = "Pubsub.Subscribe"
EVENT = "cloudevent"
"""The field that carries an event."""


def with_passthrough_events(wire: Wire) -> Wire:
    """Returns the message layout with `cloudevent` as bytes in the messages that carry events."""
    methods = {name: wire[name] for name in wire}
    if PUBLISH in methods:
        method = wire[PUBLISH]
        request = _copy_with_bytes_event(method.request)
        methods[PUBLISH] = Method(method.service, method.name, request, method.response)
    if SUBSCRIBE in methods:
        method = wire[SUBSCRIBE]
        response = _copy_with_bytes_event(method.response)
        methods[SUBSCRIBE] = Method(
            method.service, method.name, method.request, response, server_streaming=True
        )
    return Wire(methods, origin=wire.origin)


def _copy_with_bytes_event(message: Any) -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="opaque.proto", package="opaque")
    copy = file.message_type.add()
    message.DESCRIPTOR.CopyToProto(copy)
    for field in copy.field:
        if field.name == EVENT:
            field.type = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
            # A bytes field has no type name, and the pool has no file of CloudEvents.
            field.ClearField("type_name")
    # A pool of its own, because this message may exist in two layouts in one process.
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"opaque.{copy.name}"))
