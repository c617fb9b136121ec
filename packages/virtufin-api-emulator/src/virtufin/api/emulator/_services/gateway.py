"""The service virtufin.Gateway: calls of backends, and descriptions of their methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.message import DecodeError

from virtufin.api.client._wire import Wire
from virtufin.api.emulator._invocation import (
    BackendMethod,
    Catalog,
    InvocationError,
    Invoker,
    Registry,
    Request,
    Service,
)
from virtufin.api.emulator._status_errors import InvalidArgumentError, StatusError

from .auth import HEADER
from .method_schemas import make_method_info, make_method_schema

# Headers that are not forwarded to backends, because they belong to the transport, or carry the key
# to this gateway. All other headers are forwarded.
_KEPT_BACK = {HEADER, "user-agent", "te", "content-type", "host"}

# A backend's status is replaced, because callers take UNIMPLEMENTED for a call that this gateway
# lacks, and UNAUTHENTICATED for a wrong key to this gateway.
_OWN_STATUS = {
    grpc.StatusCode.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.UNIMPLEMENTED: grpc.StatusCode.FAILED_PRECONDITION,
}


class GatewayServicer:
    """The methods of the service, except Subscribe of earlier gateways.

    Args:
        wire: Message layout of requests and replies.
        registry: The registered backends.
        catalog: Catalog with the methods of the backends.
        invoker: Invoker that calls the backends.
        proto_names: True for JSON replies with field names as in the proto files, instead of
            camelCase.
    """

    def __init__(
        self,
        wire: Wire,
        registry: Registry,
        catalog: Catalog,
        invoker: Invoker,
        *,
        proto_names: bool,
    ) -> None:
        self._wire = wire
        self._registry = registry
        self._catalog = catalog
        self._invoker = invoker
        self._proto_names = proto_names

    async def invoke(self, request: Any, context: Any) -> Any:
        return await self._invoke(
            "Gateway.Invoke",
            request,
            context,
            Request(
                bytes(request.request_data), json=False, serialize=lambda _: request.request_data
            ),
            decode=lambda _, reply: reply,
        )

    async def invoke_json(self, request: Any, context: Any) -> Any:
        return await self._invoke(
            "Gateway.InvokeJson",
            request,
            context,
            Request(
                request.request_data.encode(),
                json=True,
                serialize=lambda method: _parse(method, request.request_data),
            ),
            decode=self._render,
        )

    async def list_services(self, request: Any, context: Any) -> Any:
        return self._wire["Gateway.ListServices"].response(services=self._registry.list_names())

    async def list_methods(self, request: Any, context: Any) -> Any:
        with _replace_status():
            description = await self._catalog.describe(self._get_service(request.service))
        return self._wire["Gateway.ListMethods"].response(
            methods=[make_method_info(method.descriptor) for method in description.methods.values()]
        )

    async def get_method_schema(self, request: Any, context: Any) -> Any:
        schema_type = request.type or "input"
        if schema_type not in ("input", "output"):
            raise InvalidArgumentError(f"type is 'input' or 'output', got {schema_type!r}")
        with _replace_status():
            method = await self._catalog.find_method(
                self._get_service(request.service), request.method
            )
        if method is None:
            raise StatusError(
                grpc.StatusCode.NOT_FOUND, f"{request.service} has no method {request.method!r}"
            )
        return self._wire["Gateway.GetMethodSchema"].response(
            schema=make_method_schema(method.descriptor, schema_type)
        )

    def _get_service(self, name: str) -> Service:
        service = self._registry.get(name)
        if service is None:
            raise StatusError(grpc.StatusCode.NOT_FOUND, f"unknown service {name!r}")
        return service

    async def _invoke(
        self,
        name: str,
        request: Any,
        context: Any,
        data: Request,
        *,
        decode: Callable[[BackendMethod | None, bytes], str | bytes],
    ) -> Any:
        respond = self._wire[name].response
        try:
            method, reply = await self._invoker.call(
                request.service,
                request.method,
                data,
                metadata=_select_forwarded(context),
                time_left=context.time_remaining(),
            )
            answer = decode(method, reply)
        except InvocationError as error:
            return respond(success=False, status=error.status, message=error.message)
        return respond(success=True, status="OK", response_data=answer)

    def _render(self, method: BackendMethod | None, reply: bytes) -> str:
        try:
            if method is None:
                return reply.decode()
            return json_format.MessageToJson(
                method.response.FromString(reply),
                preserving_proto_field_name=self._proto_names,
                indent=None,
                ensure_ascii=False,
                descriptor_pool=method.pool,
            )
        except (DecodeError, json_format.Error, TypeError, UnicodeDecodeError) as error:
            path = "an app" if method is None else method.path
            raise InvocationError(
                "INTERNAL", f"the reply of {path} does not fit its descriptor: {error}"
            ) from error


@contextmanager
def _replace_status() -> Iterator[None]:
    """Replaces the status of a backend by one that clients cannot take for the gateway's own."""
    try:
        yield
    except StatusError as error:
        code = _OWN_STATUS.get(error.code, grpc.StatusCode.UNAVAILABLE)
        raise StatusError(code, error.details) from error


def _parse(method: BackendMethod, text: str) -> bytes:
    message = method.request()
    name = message.DESCRIPTOR.full_name
    try:
        # Checked here, because json_format accepts an empty list as an empty message.
        if text.lstrip().startswith("[") and not name.startswith("google.protobuf."):
            raise ValueError("expected an object, got a list")
        json_format.Parse(text or "{}", message, descriptor_pool=method.pool)
    except (json_format.Error, ValueError, TypeError, AttributeError, RecursionError) as error:
        # Only the first line, because the others only list the fields of the message.
        reason = str(error).partition("\n")[0]
        raise InvocationError("INVALID_REQUEST", f"{method.path} takes {name}: {reason}") from error
    data: bytes = message.SerializeToString()
    return data


def _select_forwarded(context: Any) -> list[tuple[str, str | bytes]]:
    return [
        (key, value)
        for key, value in context.invocation_metadata() or ()
        if key not in _KEPT_BACK and not key.startswith((":", "grpc-"))
    ]
