"""gRPC handlers that call the methods of a servicer, in any message layout.

A servicer is an object with a method for each RPC of a service. A message layout (`Wire`) says
which methods a gateway has, and which fields and numbers their messages have.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf import json_format

from virtufin.api.client._transport import Method
from virtufin.api.client._wire import Wire
from virtufin.api.emulator._status_errors import Handler, StatusError


def translate(message: Any, kind: Any) -> Any:
    """Converts a message to the class of another message layout, by field name.

    Fields that the other class does not have are left out.

    Args:
        message: The message.
        kind: The message class.

    Returns:
        A message of that class: the given one if it has the class already.
    """
    if isinstance(message, kind):
        return message
    # By field name through a dict, because field numbers may differ between two layouts.
    fields = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return json_format.ParseDict(fields, kind(), ignore_unknown_fields=True)


def make_handlers(
    wire: Wire, service: str, servicer: object, *, written_for: Wire | None = None
) -> grpc.GenericRpcHandler:
    """Returns gRPC handlers for the methods of a service that both `wire` and `servicer` have.

    A method of the servicer has the name of its RPC in snake_case, and takes request and context.
    For a server stream, the method itself writes the messages to the context. A `StatusError` that
    the method raises becomes the status of the call.

    Args:
        wire: Message layout between clients and the gateway.
        service: Short name of the service, such as `State`.
        servicer: Object with the methods of the service.
        written_for: Message layout that the servicer takes and returns. The handlers translate
            between the two. None means `wire`.
    """
    own = wire if written_for is None else written_for
    methods = {name: wire[name] for name in wire if name.partition(".")[0] == service}
    by_name = {
        method.name: _make_handler(method, own[name], behaviour)
        for name, method in methods.items()
        if (behaviour := getattr(servicer, snake_case(method.name), None)) is not None
    }
    # The short name is enough for a service without methods, because it is never called.
    full_name = next((method.service for method in methods.values()), service)
    return grpc.method_handlers_generic_handler(full_name, by_name)


def snake_case(name: str) -> str:
    """Converts the name of an RPC from CamelCase to snake_case: `get_bulk_state`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _make_handler(method: Method, own: Method, behaviour: Callable[[Any, Any], Any]) -> Handler:
    async def answer(request: Any, context: Any) -> Any:
        try:
            return await behaviour(request, context)
        except StatusError as refused:
            # Returned, because a stream can be cut with OK, and `abort` takes OK for a mistake.
            if refused.code is grpc.StatusCode.OK:
                return None
            await context.abort(refused.code, refused.details)

    make = (
        grpc.unary_stream_rpc_method_handler
        if method.server_streaming
        else grpc.unary_unary_rpc_method_handler
    )

    def parse(data: bytes) -> Any:
        return translate(method.request.FromString(data), own.request)

    def serialize(message: Any) -> bytes:
        data: bytes = translate(message, method.response).SerializeToString()
        return data

    return make(answer, request_deserializer=parse, response_serializer=serialize)
