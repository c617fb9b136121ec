"""Events as bytes: the gateway passes a CloudEvent through unchanged.

Parsing and serializing again keeps the meaning but not the bytes (the order of map entries for
one). A message field and a bytes field look the same on the wire, so the two messages that carry
events are read and written here with the event as `bytes`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from virtufin.api.client._wire import Wire

PUBLISH = "Pubsub.PublishEvent"
SUBSCRIBE = "Pubsub.Subscribe"
EVENT = "cloudevent"
"""The field that carries an event."""


def with_opaque_events(wire: Wire) -> Wire:
    """The same wire, with `cloudevent` as bytes in what is published and subscribed."""
    methods = {name: wire[name] for name in wire}
    if PUBLISH in methods:
        methods[PUBLISH] = replace(wire[PUBLISH], request=_opaque(wire[PUBLISH].request))
    if SUBSCRIBE in methods:
        methods[SUBSCRIBE] = replace(wire[SUBSCRIBE], response=_opaque(wire[SUBSCRIBE].response))
    return Wire(methods, origin=wire.origin)


def _opaque(message: Any) -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="opaque.proto", package="opaque")
    copy = file.message_type.add()
    message.DESCRIPTOR.CopyToProto(copy)
    for field in copy.field:
        if field.name == EVENT:
            field.type = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
            field.ClearField("type_name")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"opaque.{copy.name}"))
