"""Adaptation of the methods to the descriptors that a gateway's reflection service returned.

Apart from `wire`, because few gateways differ from the packaged protos.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from virtufin.api.client._protobuf import Difference, build_pool, different_methods, method_of
from virtufin.api.client._transport import Method

from .adapted_methods import (
    AdaptedMethod,
    EarlierGatewaySubscribe,
    EarlierPublish,
    EarlierSubscribe,
)
from .wire import EVENT, PACKAGE, SAME, SUBSCRIBE, Wire

# Field names, because gateways of the earlier generation are recognised by them alone: a message
# without `cloudevent` that has the fields of an earlier layout.
_EARLIER = {"data", "metadata"}
_EARLIER_EVENT = {"id", "source", "type", "spec_version", "data_content_type", "data", "topic"}


def adapt(packaged: Wire, files: Sequence[FileDescriptorProto]) -> Wire:
    """Returns the methods adapted to the descriptors of a gateway.

    Methods stay unchanged if the gateway has the same layout for them, or lacks them.

    Args:
        packaged: The layout of the installed protos.
        files: The proto files of the gateway's services and all files they import.

    Raises:
        InvalidDescriptorsError: A file refers to a definition that is in none of the files.
    """
    pool = build_pool(files)
    methods: dict[str, Method] = {}
    differences: list[Difference] = []
    for name, method in packaged.methods.items():
        methods[name], found = _adapt_method(method, pool)
        differences += found
    # `Gateway.Subscribe`, because earlier gateways have no `Pubsub.Subscribe`.
    gateway = method_of(pool, f"{PACKAGE}.Gateway", "Subscribe")
    missing = method_of(pool, packaged.methods[SUBSCRIBE].service, "Subscribe") is None
    if missing and gateway is not None and _has(gateway.output_type, _EARLIER_EVENT):
        methods[SUBSCRIBE] = _make_adapted(
            EarlierGatewaySubscribe, packaged.methods[SUBSCRIBE], gateway
        )
    changed = any(methods[name] is not method for name, method in packaged.methods.items())
    reason = SAME
    if changed:
        reason = "the gateway's own descriptors say something else than the packaged ones"
    origin = "reflection" if changed else "packaged"
    # Without repeats, because methods share messages, and each reports the same difference.
    each_once = dict.fromkeys(differences)
    return Wire(methods, origin=origin, differences=each_once, reason=reason)


def _adapt_method(method: Method, pool: Any) -> tuple[Method, list[Difference]]:
    """Returns a method adapted to a gateway's descriptors, and the differences that were found."""
    gateway = method_of(pool, method.service, method.name)
    if gateway is None:
        missing = Difference(f"{method.service}.{method.name}", "a method", "", is_method=True)
        return method, [missing]
    packaged = method_of(method.request.DESCRIPTOR.file.pool, method.service, method.name)
    # Never None, because `method` was made from this pool.
    assert packaged is not None
    found = list(different_methods(packaged, gateway))
    # Unchanged, because protobuf skips fields that only the gateway has.
    if all(difference.is_addition for difference in found):
        return method, found
    # Unchanged, because translating messages cannot turn a stream into a unary reply.
    if gateway.client_streaming or gateway.server_streaming != method.server_streaming:
        return method, found
    kind: type[AdaptedMethod] = AdaptedMethod
    if _is_earlier(packaged.input_type, gateway.input_type):
        kind = EarlierPublish
    elif _is_earlier(packaged.output_type, gateway.output_type):
        kind = EarlierSubscribe
    return _make_adapted(kind, method, gateway), found


def _is_earlier(packaged: Any, gateway: Any) -> bool:
    return (
        EVENT in packaged.fields_by_name
        and EVENT not in gateway.fields_by_name
        and _has(gateway, _EARLIER)
    )


def _has(message: Any, fields: set[str]) -> bool:
    return fields <= set(message.fields_by_name)


def _make_adapted(
    kind: type[AdaptedMethod], method: Method, gateway: MethodDescriptor
) -> AdaptedMethod:
    classes = tuple(
        message_factory.GetMessageClass(message)
        for message in (gateway.input_type, gateway.output_type)
    )
    return kind(
        method, gateway.containing_service.full_name, gateway.name, (classes[0], classes[1])
    )
