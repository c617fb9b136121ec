"""Calls to the backends behind the gateway."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from virtufin.api.client._arguments import name
from virtufin.api.client._data import from_json, to_json
from virtufin.api.client._replies import check
from virtufin.api.client._sentinel import NOT_GIVEN, NotGiven
from virtufin.api.client._shown import shown
from virtufin.api.client._transport import Transport
from virtufin.api.client._wire import Wire
from virtufin.api.client.errors import InvalidInputError
from virtufin.api.client.results import FieldSchema, MethodInfo, MethodSchema, OneofCaseSchema

Request = Mapping[str, Any] | None


class GatewayClient:
    """Calls any method of any backend by name, without its stubs.

    `client.gateway.<service>.<Method>({...})` and, for names that are not Python identifiers,
    `client.gateway.service("any-name").call("Method", {...})`.

    Example:
        >>> async def workers(client):
        ...     reply = await client.gateway.workmanager.ListWorkers()
        ...     return [worker["id"] for worker in reply["workers"]]
    """

    def __init__(self, transport: Transport, wire: Wire) -> None:
        self._transport = transport
        self._wire = wire

    def service(self, service: str) -> ServiceProxy:
        """A backend by its registered name.

        Raises:
            InvalidInputError: The name is no text, or empty.
        """
        return ServiceProxy(self, name(service, "service"))

    def __getattr__(self, service: str) -> ServiceProxy:
        """A backend by attribute; names that begin with `_` are never services."""
        if service.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {service!r}")
        return ServiceProxy(self, service)

    async def invoke_async(
        self,
        service: str,
        method: str,
        request_data: Request = None,
        *,
        timeout: float | NotGiven | None = NOT_GIVEN,
    ) -> Any:
        """Calls a backend's method with a dict, returns the reply as a dict.

        Args:
            service: Registered name of the backend.
            method: Name of a unary method.
            request_data: Fields of the request, in snake_case or lowerCamelCase; none means `{}`.
            timeout: Seconds for the call; not given means the client's default, None no deadline.

        Returns:
            The reply's JSON as the gateway sent it.

        Raises:
            InvalidInputError: The request cannot be JSON.
            InvalidReplyError: The reply is not JSON.
            NotFoundError: The service or method is unknown.
            VirtufinError: Any other failure, see `errors`.
        """
        context: dict[str, Any] = {"service": name(service, "service")}
        call = self._wire["Gateway.InvokeJson"]
        request = call.request(
            service=service,
            method=name(method, "method"),
            request_data=_request_json(request_data),
        )
        reply = await self._transport.unary(call, request, timeout=timeout, **context)
        called = f"{service}.{method}"
        check(reply, self._transport, called, **context)
        return from_json(
            reply.response_data or "{}",
            "the reply",
            method=called,
            peer=self._transport.peer,
            **context,
        )

    async def invoke_json_async(
        self,
        service: str,
        method: str,
        request_data: Request = None,
        *,
        timeout: float | NotGiven | None = NOT_GIVEN,
    ) -> Any:
        """The same as `invoke_async`."""
        return await self.invoke_async(service, method, request_data, timeout=timeout)

    async def invoke_raw_async(
        self,
        service: str,
        method: str,
        request_data: bytes = b"",
        *,
        timeout: float | NotGiven | None = NOT_GIVEN,
    ) -> bytes:
        """Calls a backend's method with protobuf bytes, returns the reply's bytes.

        Args:
            service: Registered name of the backend.
            method: Name of a unary method.
            request_data: The request message, serialized.
            timeout: Seconds for the call; not given means the client's default, None no deadline.

        Raises:
            InvalidInputError: `request_data` is not bytes.
            VirtufinError: The gateway refused, or the call failed, see `errors`.
        """
        if not isinstance(request_data, (bytes, bytearray, memoryview)):
            raise InvalidInputError(
                "request_data must be bytes (message.SerializeToString()), "
                f"not {shown(request_data)}"
            )
        call = self._wire["Gateway.Invoke"]
        request = call.request(
            service=name(service, "service"),
            method=name(method, "method"),
            request_data=bytes(request_data),
        )
        reply = await self._transport.unary(call, request, timeout=timeout, service=service)
        check(reply, self._transport, f"{service}.{method}", service=service)
        return bytes(reply.response_data)

    async def list_services_async(
        self, *, timeout: float | NotGiven | None = NOT_GIVEN
    ) -> list[str]:
        """Names of the registered backends."""
        call = self._wire["Gateway.ListServices"]
        reply = await self._transport.unary(call, call.request(), timeout=timeout)
        return list(reply.services)

    async def list_methods_async(
        self, service: str, *, timeout: float | NotGiven | None = NOT_GIVEN
    ) -> list[MethodInfo]:
        """Methods of a backend.

        Raises:
            NotFoundError: The service is unknown.
        """
        call = self._wire["Gateway.ListMethods"]
        request = call.request(service=name(service, "service"))
        reply = await self._transport.unary(call, request, timeout=timeout, service=service)
        return [_method_info(method) for method in reply.methods]

    async def get_method_schema_async(
        self,
        service: str,
        method: str,
        type: str = "input",  # noqa: A002 - the wire's name
        *,
        timeout: float | NotGiven | None = NOT_GIVEN,
    ) -> MethodSchema:
        """Fields of a method's request or response.

        Args:
            service: Registered name of the backend.
            method: Name of the method.
            type: `input` or `output`.
            timeout: Seconds for the call; not given means the client's default, None no deadline.

        Raises:
            NotFoundError: The service or method is unknown.
        """
        call = self._wire["Gateway.GetMethodSchema"]
        request = call.request(
            service=name(service, "service"),
            method=name(method, "method"),
            type=name(type, "type"),
        )
        reply = await self._transport.unary(call, request, timeout=timeout, service=service)
        schema = reply.schema
        return {
            "input_type_name": schema.input_type_name,
            "output_type_name": schema.output_type_name,
            "schema_type": schema.schema_type,
            "fields": [_field_schema(field) for field in schema.fields],
        }

    def __repr__(self) -> str:
        return f"<GatewayClient at {self._transport.peer}>"


class ServiceProxy:
    """One backend: its methods are attributes."""

    def __init__(self, gateway: GatewayClient, service: str) -> None:
        self._gateway = gateway
        self._service = service

    async def call(
        self,
        method: str,
        request: Request = None,
        *,
        timeout: float | NotGiven | None = NOT_GIVEN,
    ) -> Any:
        """Calls a method by name; see `GatewayClient.invoke_async`."""
        return await self._gateway.invoke_async(self._service, method, request, timeout=timeout)

    def __getattr__(self, method: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        """A method by attribute; names that begin with `_` are never methods."""
        if method.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {method!r}")

        async def invoke(
            request: Request = None, *, timeout: float | NotGiven | None = NOT_GIVEN
        ) -> Any:
            return await self.call(method, request, timeout=timeout)

        invoke.__name__ = method
        invoke.__qualname__ = f"{self._service}.{method}"
        return invoke

    def __repr__(self) -> str:
        return f"<service {self._service!r} behind {self._gateway!r}>"


def _request_json(request_data: object) -> str:
    if request_data is None:
        return "{}"
    if not isinstance(request_data, Mapping):
        raise InvalidInputError(
            f"request_data must be a dict of the request's fields, not {shown(request_data)}"
        )
    return to_json(dict(request_data), "request")


def _method_info(method: Any) -> MethodInfo:
    return {
        "name": method.name,
        "full_name": method.full_name,
        "input_type": method.input_type,
        "output_type": method.output_type,
        "is_client_streaming": method.is_client_streaming,
        "is_server_streaming": method.is_server_streaming,
    }


def _field_schema(field: Any) -> FieldSchema:
    cases: list[OneofCaseSchema] = [
        {
            "name": case.name,
            "type": case.type,
            "type_name": case.type_name,
            "field_number": case.field_number,
        }
        for case in field.oneof_cases
    ]
    return {
        "name": field.name,
        "type": field.type,
        "type_name": field.type_name,
        "is_repeated": field.is_repeated,
        "is_optional": field.is_optional,
        "oneof_group": field.oneof_group,
        "oneof_cases": cases,
    }
