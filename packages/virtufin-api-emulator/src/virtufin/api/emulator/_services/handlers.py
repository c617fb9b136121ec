"""From a servicer to the handlers gRPC wants, with messages and paths taken from a `Wire`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf import json_format

from virtufin.api.client._transport import Method
from virtufin.api.client._wire import Wire
from virtufin.api.emulator._status_errors import Handler, RefusedError


def translated(message: Any, kind: Any) -> Any:
    """The message as one of another class; what that lacks is left out."""
    if isinstance(message, kind):
        return message
    fields = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return json_format.ParseDict(fields, kind(), ignore_unknown_fields=True)


def handlers(
    wire: Wire, service: str, servicer: object, *, written_for: Wire | None = None
) -> grpc.GenericRpcHandler:
    """Handlers of all methods of `service` that the wire and the servicer both have.

    The servicer's methods have the RPCs' names in snake_case and take request and context. Those
    of server-streaming RPCs write to the context themselves, for then their cleanup runs in the
    call's own task, also when the client is gone.

    Args:
        wire: What is spoken with clients.
        service: Short name of the service.
        servicer: What answers.
        written_for: The wire whose messages the servicer takes and returns; None for `wire`.
    """
    own = wire if written_for is None else written_for
    methods = {name: wire[name] for name in wire if name.partition(".")[0] == service}
    by_name = {
        method.name: _handler(method, own[name], behaviour)
        for name, method in methods.items()
        if (behaviour := getattr(servicer, snake_case(method.name), None)) is not None
    }
    full_name = next((method.service for method in methods.values()), service)
    return grpc.method_handlers_generic_handler(full_name, by_name)


def snake_case(name: str) -> str:
    """`GetBulkState` to `get_bulk_state`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _handler(method: Method, own: Method, behaviour: Callable[[Any, Any], Any]) -> Handler:
    async def answer(request: Any, context: Any) -> Any:
        try:
            return await behaviour(request, context)
        except RefusedError as refused:
            if refused.code is grpc.StatusCode.OK:
                return None
            await context.abort(refused.code, refused.details)

    make = (
        grpc.unary_stream_rpc_method_handler
        if method.server_streaming
        else grpc.unary_unary_rpc_method_handler
    )

    def parse(data: bytes) -> Any:
        return translated(method.request.FromString(data), own.request)

    def serialize(message: Any) -> bytes:
        data: bytes = translated(message, method.response).SerializeToString()
        return data

    return make(answer, request_deserializer=parse, response_serializer=serialize)
