"""Calls to the backends behind the gateway."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from virtufin.api.client._asyncio import gather_all
from virtufin.api.client._backends import (
    Request,
    Schemas,
    TypedCalls,
    from_answers,
    from_descriptors,
)
from virtufin.api.client._transport import check
from virtufin.api.client._types import NOT_GIVEN, Timeout
from virtufin.api.client._validation import require_name, short_repr
from virtufin.api.client._wire import Rpc
from virtufin.api.client.descriptions import ServiceDescription
from virtufin.api.client.errors import InvalidInputError
from virtufin.api.client.results import FieldSchema, MethodInfo, MethodSchema, OneofCaseSchema


class GatewayClient:
    """Calls any method of any backend by name, without its stubs.

    `client.gateway.<service>.<Method>({...})` and, for names that are not Python identifiers,
    `client.gateway.service("any-name").call("Method", {...})`.

    Example:
        >>> async def workers(client):
        ...     reply = await client.gateway.workmanager.ListWorkers()
        ...     return [worker["id"] for worker in reply["workers"]]
    """

    def __init__(self, rpc: Rpc, schemas: Schemas | None) -> None:
        self._rpc = rpc
        self._calls = TypedCalls(rpc, schemas, self)

    def service(self, service: str) -> ServiceProxy:
        """A backend by its registered name.

        Raises:
            InvalidInputError: The name is no text, or empty.
        """
        return ServiceProxy(self, require_name(service, "service"))

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
        timeout: Timeout = NOT_GIVEN,
    ) -> Any:
        """Calls a backend's method with a dict, returns the reply as a dict.

        Args:
            service: Registered name of the backend.
            method: Name of a unary method.
            request_data: Fields of the request, in snake_case or lowerCamelCase, as natural Python
                values; also a dataclass or a protobuf message. None means `{}`.
            timeout: Seconds for the call; not given means the client's default, None no deadline.

        Returns:
            The reply, complete and typed where the gateway's reflection describes the method:
            every field under its proto name, with its default where nothing was sent. Else its JSON
            as the gateway sent it.

        Raises:
            InvalidInputError: The request cannot be JSON.
            InvalidReplyError: The reply is not JSON.
            InvalidRequestError: The gateway refused the request; `unknown` and `nearest` name a
                field that the message does not have, and what may have been meant.
            NotFoundError: The service or method is unknown; `nearest` names those that are similar.
            VirtufinError: Any other failure, see `errors`.
        """
        budget = self._rpc.budget(timeout)
        return await self._calls.invoke(
            require_name(service, "service"), require_name(method, "method"), request_data, budget
        )

    async def invoke_json_async(
        self,
        service: str,
        method: str,
        request_data: Request = None,
        *,
        timeout: Timeout = NOT_GIVEN,
    ) -> Any:
        """The same as `invoke_async`."""
        return await self.invoke_async(service, method, request_data, timeout=timeout)

    async def invoke_raw_async(
        self, service: str, method: str, request_data: bytes = b"", *, timeout: Timeout = NOT_GIVEN
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
                f"not {short_repr(request_data)}"
            )
        fields = {
            "service": require_name(service, "service"),
            "method": require_name(method, "method"),
            "request_data": bytes(request_data),
        }
        budget = self._rpc.budget(timeout)
        reply = await self._rpc.unary("Gateway.Invoke", fields, budget, service=service)
        check(reply, self._rpc.transport, f"{service}.{method}", service=service)
        return bytes(reply.response_data)

    async def list_services_async(self, *, timeout: Timeout = NOT_GIVEN) -> list[str]:
        """Names of the registered backends."""
        reply = await self._rpc.unary("Gateway.ListServices", {}, self._rpc.budget(timeout))
        return list(reply.services)

    async def list_methods_async(
        self, service: str, *, timeout: Timeout = NOT_GIVEN
    ) -> list[MethodInfo]:
        """Methods of a backend.

        Raises:
            NotFoundError: The service is unknown.
        """
        fields = {"service": require_name(service, "service")}
        budget = self._rpc.budget(timeout)
        reply = await self._rpc.unary("Gateway.ListMethods", fields, budget, service=service)
        return [_method_info(method) for method in reply.methods]

    async def get_method_schema_async(
        self,
        service: str,
        method: str,
        type: str = "input",  # noqa: A002 - the wire's name
        *,
        timeout: Timeout = NOT_GIVEN,
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
        fields = {
            "service": require_name(service, "service"),
            "method": require_name(method, "method"),
            "type": require_name(type, "type"),
        }
        budget = self._rpc.budget(timeout)
        reply = await self._rpc.unary("Gateway.GetMethodSchema", fields, budget, service=service)
        schema = reply.schema
        return {
            "input_type_name": schema.input_type_name,
            "output_type_name": schema.output_type_name,
            "schema_type": schema.schema_type,
            "fields": [_field_schema(field) for field in schema.fields],
        }

    async def describe(self, service: str, *, timeout: Timeout = NOT_GIVEN) -> ServiceDescription:
        """What a backend offers: methods and the shapes of their messages, readable when printed.

        Args:
            service: Registered name of the backend.
            timeout: Seconds for all of it; not given means the client's default, None no limit.

        Raises:
            NotFoundError: The service is unknown.
        """
        budget = self._rpc.budget(timeout)
        schema = await self._calls.schema(require_name(service, "service"), budget)
        if schema.methods:
            return from_descriptors(service, schema.methods.values())
        methods = await self.list_methods_async(service, timeout=budget.left())
        schemas = await gather_all(
            self.get_method_schema_async(service, one["name"], kind, timeout=budget.left())
            for one in methods
            for kind in ("input", "output")
        )
        return from_answers(service, methods, schemas)

    def known_methods(self, service: str) -> list[str]:
        """Methods of a backend as far as calls to it have brought them to light; asks nobody."""
        return self._calls.known_methods(service)

    def __repr__(self) -> str:
        return f"<GatewayClient at {self._rpc.transport.peer}>"


class ServiceProxy:
    """One backend: its methods are attributes."""

    def __init__(self, gateway: GatewayClient, service: str) -> None:
        self._gateway = gateway
        self._service = service

    async def call(
        self, method: str, request: Request = None, *, timeout: Timeout = NOT_GIVEN
    ) -> Any:
        """Calls a method by name; see `GatewayClient.invoke_async`."""
        return await self._gateway.invoke_async(self._service, method, request, timeout=timeout)

    async def describe(self, *, timeout: Timeout = NOT_GIVEN) -> ServiceDescription:
        """What the backend offers; a method called `describe` is reached by `call`.

        Example:
            >>> async def show(client):
            ...     return str(await client.gateway.workmanager.describe())
        """
        return await self._gateway.describe(self._service, timeout=timeout)

    def __dir__(self) -> list[str]:
        """Its methods too, after the first call to it."""
        return [*super().__dir__(), *self._gateway.known_methods(self._service)]

    def __getattr__(self, method: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        """A method by attribute; names that begin with `_` are never methods."""
        if method.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {method!r}")

        async def invoke(request: Request = None, *, timeout: Timeout = NOT_GIVEN) -> Any:
            return await self.call(method, request, timeout=timeout)

        invoke.__name__ = method
        invoke.__qualname__ = f"{self._service}.{method}"
        return invoke

    def __repr__(self) -> str:
        return f"<service {self._service!r} behind {self._gateway!r}>"


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
