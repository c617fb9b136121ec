"""Calls to backends in Python values: encoded, completed and explained by their descriptors."""

from __future__ import annotations

from typing import Any, Protocol

from virtufin.api.client._deadlines import Budget
from virtufin.api.client._error_mapping import with_advice
from virtufin.api.client._json import from_json
from virtufin.api.client._transport import Lease, check
from virtufin.api.client._wire import Rpc
from virtufin.api.client.errors import (
    InvalidRequestError,
    NotFoundError,
    UnsupportedError,
    VirtufinError,
)
from virtufin.api.client.results import MethodInfo

from .encoder import Encoder
from .schemas import Schema, Schemas
from .suggestions import Unknown, unknown_fields, unknown_name

Request = Any
"""A mapping of the request's fields, a dataclass, a protobuf message, or None."""

_UNTYPED = Encoder()
_UNKNOWN = Schema({}, reason="complete_replies=False")
_ADVICE_WAIT = 2.0
_INVOKE = "Gateway.InvokeJson"


class Listing(Protocol):
    """Names the backends and their methods."""

    async def list_services_async(self, *, timeout: float | None) -> list[str]:
        """Names of the registered backends."""
        ...

    async def list_methods_async(self, service: str, *, timeout: float | None) -> list[MethodInfo]:
        """Methods of a backend."""
        ...


class TypedCalls:
    """Calls methods of backends by name."""

    def __init__(self, rpc: Rpc, schemas: Schemas | None, listing: Listing) -> None:
        """Does no I/O.

        Args:
            rpc: The gateway's own methods.
            schemas: What its backends take and answer; None where nobody is to be asked.
            listing: Names them, for advice.
        """
        self._rpc = rpc
        self._schemas = schemas
        self._listing = listing
        self._found: set[tuple[str, str]] = set()

    async def invoke(self, service: str, method: str, request: Request, budget: Budget) -> Any:
        """Calls a method; see `GatewayClient.invoke_async`."""
        text = ""
        if method not in self._known(service).methods:
            # What cannot be sent is told before anybody is asked.
            text = _UNTYPED.encode(request)
        try:
            with await self._rpc.acquire(_INVOKE, budget, service=service) as lease:
                schema = await self._schema(service, budget)
                types = schema.methods.get(method)
                if types is not None or not text:
                    text = schema.encoder.encode(request, types.input_type if types else None)
                reply = await self._send(lease, service, method, text, budget)
        except (InvalidRequestError, NotFoundError, UnsupportedError) as error:
            advice = await self._advice(error, service, method, request, budget)
            if advice is None:
                raise
            unknown, nearest = (advice.what,), advice.nearest
            failure = with_advice(error, advice.text, unknown=unknown, nearest=nearest)
        else:
            self._found.add((service, method))
            return await self._completed(service, method, reply, schema, budget)
        # Out here, as the error without the advice would be its context.
        raise failure

    async def schema(self, service: str, budget: Budget) -> Schema:
        """What is known of a backend; fetched if that has not been done."""
        with await self._rpc.acquire(_INVOKE, budget, service=service):
            return await self._schema(service, budget)

    async def _schema(self, service: str, budget: Budget) -> Schema:
        return _UNKNOWN if self._schemas is None else await self._schemas.of(service, budget)

    def known_methods(self, service: str) -> list[str]:
        """Methods of a backend, as far as they are known now."""
        return sorted(self._known(service).methods)

    def _known(self, service: str) -> Schema:
        schema = None if self._schemas is None else self._schemas.known(service)
        return schema or _UNKNOWN

    async def _send(
        self, lease: Lease, service: str, method: str, text: str, budget: Budget
    ) -> Any:
        fields = {"service": service, "method": method, "request_data": text}
        reply = await self._rpc.send(lease, _INVOKE, fields, budget, service=service)
        called, transport = f"{service}.{method}", self._rpc.transport
        check(reply, transport, called, service=service)
        return from_json(
            reply.response_data or "{}",
            "the reply",
            method=called,
            peer=transport.peer,
            service=service,
        )

    async def _completed(
        self, service: str, method: str, reply: Any, schema: Schema, budget: Budget
    ) -> Any:
        """The reply as the schema has it; as a newer schema has it where that does not fit."""
        value, fits = _typed(schema, method, reply)
        if not fits and self._schemas is not None:
            schema = await self._schemas.renewed(service, budget)
            value, fits = _typed(schema, method, reply)
        return value

    async def _advice(
        self, error: VirtufinError, service: str, method: str, request: object, budget: Budget
    ) -> Unknown | None:
        """What the request names that is not there; None where nothing of that is known."""
        schema = self._known(service)
        if isinstance(error, InvalidRequestError):
            return await self._unknown_field(service, method, request, budget)
        if method in schema.methods or (service, method) in self._found:
            return None
        try:
            wait = budget.at_most(_ADVICE_WAIT)
            services = await self._listing.list_services_async(timeout=wait)
            if service not in services:
                return unknown_name("service", service, "the gateway", services)
            methods = list(schema.methods)
            if not methods:
                wait = budget.at_most(_ADVICE_WAIT)
                listed = await self._listing.list_methods_async(service, timeout=wait)
                methods = [one["name"] for one in listed]
        except VirtufinError:
            return None
        if method not in methods:
            return unknown_name("method", method, service, methods)
        self._found.add((service, method))
        return None

    async def _unknown_field(
        self, service: str, method: str, request: object, budget: Budget
    ) -> Unknown | None:
        """A field that the method's request does not have, by the newest schema there is."""
        schema = self._known(service)
        for _ in range(2):
            types = schema.methods.get(method)
            if types is None:
                return None
            found = next(unknown_fields(schema.encoder, types.input_type, request), None)
            if found is None or self._schemas is None:
                return None
            schema, before = await self._schemas.renewed(service, budget), schema
            if schema is before:
                break
        return found


def _typed(schema: Schema, method: str, reply: Any) -> tuple[Any, bool]:
    """The reply as far as the schema goes, and whether all of it fits."""
    types = schema.methods.get(method)
    if types is None:
        return reply, False
    try:
        value, misfits = schema.completer.complete(types.output_type, reply)
    except RecursionError:
        return reply, True  # Nested too deeply to be completed, whatever describes it.
    return value, not misfits
