"""gRPC handlers for a servicer, with the messages and paths of a `Wire`."""

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
    """Converts a message to another class by field name. Fields missing there are left out."""
    if isinstance(message, kind):
        return message
    # By field name through a dict, because field numbers may differ between two layouts.
    fields = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return json_format.ParseDict(fields, kind(), ignore_unknown_fields=True)


def make_handlers(
    wire: Wire, service: str, servicer: object, *, written_for: Wire | None = None
) -> grpc.GenericRpcHandler:
    """Returns handlers for the methods of a service that both `wire` and `servicer` have.

    A method of the servicer has the name of its RPC in snake_case, and takes request and context.
    A method for a server-streaming RPC writes to the context itself. Its cleanup then runs in the
    task of the call, even if the client has gone.

    Args:
        wire: Message layout between clients and the gateway.
        service: Short name of the service.
        servicer: Object with the methods of the service.
        written_for: Message layout that the servicer takes and returns. None means `wire`.
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
    """Converts `GetBulkState` to `get_bulk_state`."""
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
