"""A change to any message layout, by which the gateway passes events on as unchanged bytes.

Parsing and serializing an event keeps its meaning but not its bytes, such as the order of map
entries. A message field and a bytes field have the same encoding. The change therefore gives the
two messages that carry events a `bytes` field instead of the CloudEvent message.

Apart from the named layouts, because the change applies to layouts without a name, too.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from virtufin.api.client._transport import Method
from virtufin.api.client._wire import Wire

PUBLISH = "Pubsub.PublishEvent"
SUBSCRIBE = "Pubsub.Subscribe"
EVENT = "cloudevent"
"""Name of the field that carries an event."""


def with_passthrough_events(wire: Wire) -> Wire:
    """Returns a copy of a message layout whose field `cloudevent` has the type bytes."""
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
