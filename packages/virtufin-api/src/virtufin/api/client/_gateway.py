"""Calls to the backends behind the gateway."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import cached_property
from typing import TYPE_CHECKING, Any

from virtufin.api.client._asyncio import gather_all
from virtufin.api.client._transport import check
from virtufin.api.client._types import NOT_GIVEN, Request, Timeout
from virtufin.api.client._validation import require_name, short_repr
from virtufin.api.client._wire import Discovery, Rpc
from virtufin.api.client.errors import InvalidInputError
from virtufin.api.client.results import FieldSchema, MethodInfo, MethodSchema, OneofCaseSchema

if TYPE_CHECKING:
    from virtufin.api.client._backends import TypedCalls
    from virtufin.api.client.descriptions import ServiceDescription


class GatewayClient:
    """Calls any unary method of any backend by name, without generated stubs.

    The usual form is `client.gateway.<service>.<Method>({...})`. For names that are not Python
    identifiers there is `client.gateway.service("any-name").call("Method", {...})`.

    Example:
        >>> async def workers(client):
        ...     reply = await client.gateway.workmanager.ListWorkers()
        ...     return [worker["id"] for worker in reply["workers"]]
    """

    def __init__(self, rpc: Rpc, discovery: Discovery, *, complete_replies: bool) -> None:
        self._rpc = rpc
        self._discovery = discovery
        self._complete_replies = complete_replies

    @cached_property
    def _calls(self) -> TypedCalls:
        # Imported here, because a program that calls no backend starts faster without.
        from virtufin.api.client._backends import Schemas, TypedCalls

        # Without schemas no call looks up descriptors of a backend, because only complete replies
        # need them.
        schemas = Schemas(self._rpc, self._discovery) if self._complete_replies else None
        # `self` is the listing, because suggestions for a wrong name need the names that exist.
        return TypedCalls(self._rpc, schemas, self)

    def service(self, service: str) -> ServiceProxy:
        """Returns the proxy of a backend.

        Args:
            service: Registered name of the backend.

        Raises:
            InvalidInputError: The name is not text, or is empty.
        """
        return ServiceProxy(self, require_name(service, "service"))

    def __getattr__(self, service: str) -> ServiceProxy:
        """Returns the proxy of the backend with this name.

        Raises:
            AttributeError: The name begins with `_`.
        """
        # Names with `_` are rejected, because for example `copy` and `pickle` look such names up
        # and would take a proxy for a real method.
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
        """Calls a backend's method with a dict and returns the reply as a dict.

        Args:
            service: Registered name of the backend.
            method: Name of a unary method.
            request_data: Fields of the request by name, in snake_case or lowerCamelCase. Values may
                be of Python types such as bytes or datetime. A dataclass or a protobuf message is
                accepted instead of a dict. None means `{}`.
            timeout: Seconds for the call. If omitted, the client's default; None means no deadline.

        Returns:
            The reply. If the gateway's reflection service describes the method, the reply is
            complete and typed: every field is present under its proto name, with its default if
            the gateway sent no value. Otherwise the reply is the JSON as the gateway sent it.

        Raises:
            InvalidInputError: JSON cannot hold the request.
            InvalidReplyError: The reply is not JSON.
            InvalidRequestError: The gateway rejected the request. `unknown` names a field that the
                message does not have, and `nearest` the most similar fields of the message.
            NotFoundError: The service or method is unknown; `nearest` lists similar names.
            VirtufinError: Any other failure; see `errors`.
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
        """Calls a backend's method; an alias of `invoke_async`."""
        return await self.invoke_async(service, method, request_data, timeout=timeout)

    async def invoke_raw_async(
        self, service: str, method: str, request_data: bytes = b"", *, timeout: Timeout = NOT_GIVEN
    ) -> bytes:
        """Calls a backend's method with a serialized message and returns the reply's bytes.

        Args:
            service: Registered name of the backend.
            method: Name of a unary method.
            request_data: The request message, serialized.
            timeout: Seconds for the call. If omitted, the client's default; None means no deadline.

        Raises:
            InvalidInputError: `request_data` is not bytes.
            VirtufinError: The gateway rejected the request, or the call failed; see `errors`.
        """
        if not isinstance(request_data, (bytes, bytearray, memoryview)):
            raise InvalidInputError(
                "request_data must be bytes (message.SerializeToString()), "
                f"not {short_repr(request_data)}"
            )
        fields = {
            "service": require_name(service, "service"),
            "method": require_name(method, "method"),
            # A copy, because protobuf fields take neither bytearray nor memoryview.
            "request_data": bytes(request_data),
        }
        budget = self._rpc.budget(timeout)
        reply = await self._rpc.unary("Gateway.Invoke", fields, budget, service=service)
        # A gateway reports some failures inside a reply with status OK.
        check(reply, self._rpc.transport, f"{service}.{method}", service=service)
        return bytes(reply.response_data)

    async def list_services_async(self, *, timeout: Timeout = NOT_GIVEN) -> list[str]:
        """Returns the names of the registered backends."""
        reply = await self._rpc.unary("Gateway.ListServices", {}, self._rpc.budget(timeout))
        return list(reply.services)

    async def list_methods_async(
        self, service: str, *, timeout: Timeout = NOT_GIVEN
    ) -> list[MethodInfo]:
        """Returns the methods of a backend.

        Args:
            service: Registered name of the backend.
            timeout: Seconds for the call. If omitted, the client's default; None means no deadline.

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
        """Returns the fields of a method's request or response.

        Args:
            service: Registered name of the backend.
            method: Name of the method.
            type: `input` for the fields of the request, `output` for those of the response.
            timeout: Seconds for the call. If omitted, the client's default; None means no deadline.

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
        """Returns a description of a backend: its methods and the fields of their messages.

        `print` shows the description as readable text.

        Args:
            service: Registered name of the backend.
            timeout: Seconds for all calls together. If omitted, the client's default; None means
                no limit.

        Raises:
            NotFoundError: The service is unknown.
        """
        from virtufin.api.client._backends import from_answers, from_descriptors

        budget = self._rpc.budget(timeout)
        schema = await self._calls.schema(require_name(service, "service"), budget)
        if schema.methods:
            return from_descriptors(service, schema.methods.values())
        # If reflection gave no methods, the gateway's own methods are called. Reflection is
        # preferred, because these methods report neither enums nor nested messages.
        methods = await self.list_methods_async(service, timeout=budget.left())
        schemas = await gather_all(
            self.get_method_schema_async(service, one["name"], kind, timeout=budget.left())
            for one in methods
            for kind in ("input", "output")
        )
        return from_answers(service, methods, schemas)

    def known_methods(self, service: str) -> list[str]:
        """Returns the methods of a backend that earlier calls have discovered; sends nothing."""
        return self._calls.known_methods(service)

    def __repr__(self) -> str:
        return f"<GatewayClient at {self._rpc.transport.peer}>"


class ServiceProxy:
    """A backend, whose methods are called as attributes: `await proxy.ListWorkers({...})`."""

    def __init__(self, gateway: GatewayClient, service: str) -> None:
        self._gateway = gateway
        self._service = service

    async def call(
        self, method: str, request: Request = None, *, timeout: Timeout = NOT_GIVEN
    ) -> Any:
        """Calls a method by name; see `GatewayClient.invoke_async`."""
        return await self._gateway.invoke_async(self._service, method, request, timeout=timeout)

    async def describe(self, *, timeout: Timeout = NOT_GIVEN) -> ServiceDescription:
        """Returns a description of the backend; see `GatewayClient.describe`.

        If the backend itself has a method `describe`, use `call("describe")` for it.

        Example:
            >>> async def show(client):
            ...     return str(await client.gateway.workmanager.describe())
        """
        return await self._gateway.describe(self._service, timeout=timeout)

    def __dir__(self) -> list[str]:
        """Returns the attributes, including the backend's methods once a call discovered them."""
        # Only what is known already, because completion in a shell must neither block nor do I/O.
        return [*super().__dir__(), *self._gateway.known_methods(self._service)]

    def __getattr__(self, method: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        """Returns a function that calls the method.

        Raises:
            AttributeError: The name begins with `_`.
        """
        # Rejected, because for example `copy` and `pickle` look such names up and would take the
        # function for a real method.
        if method.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {method!r}")

        async def invoke(request: Request = None, *, timeout: Timeout = NOT_GIVEN) -> Any:
            return await self._gateway.invoke_async(self._service, method, request, timeout=timeout)

        # Named after the method, because tracebacks and `repr` would all show `invoke` otherwise.
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
