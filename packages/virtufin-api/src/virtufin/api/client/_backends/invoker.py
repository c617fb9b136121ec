"""Calls to backends, with Python values that are encoded and decoded by descriptors."""

from __future__ import annotations

from typing import Any, Protocol

from virtufin.api.client._deadlines import Budget
from virtufin.api.client._error_mapping import with_suggestion
from virtufin.api.client._json import from_json
from virtufin.api.client._transport import check
from virtufin.api.client._types import Request
from virtufin.api.client._wire import Rpc
from virtufin.api.client.errors import (
    InvalidRequestError,
    NotFoundError,
    UnsupportedError,
    VirtufinError,
)
from virtufin.api.client.results import MethodInfo

from .encoder import RequestEncoder
from .schemas import Schema, Schemas
from .suggestions import Suggestion, unknown_fields, unknown_name

_UNTYPED = RequestEncoder()
_UNKNOWN = Schema({}, reason="complete_replies=False")
# Two seconds, because a suggestion must not delay the error that it belongs to for longer.
_SUGGESTION_WAIT = 2.0
_INVOKE = "Gateway.InvokeJson"


class Listing(Protocol):
    """Lists the backends and their methods."""

    # A protocol, because `GatewayClient`, which has these methods, imports this module.
    async def list_services_async(self, *, timeout: float | None) -> list[str]:
        """Returns the names of the registered backends."""
        ...

    async def list_methods_async(self, service: str, *, timeout: float | None) -> list[MethodInfo]:
        """Returns the methods of a backend."""
        ...


class TypedCalls:
    """Calls methods of backends by name."""

    def __init__(self, rpc: Rpc, schemas: Schemas | None, listing: Listing) -> None:
        """Does no I/O.

        Args:
            rpc: Calls of the gateway's own methods.
            schemas: Request and reply types of the backends; None if they are never fetched.
            listing: Lists the existing backends and methods, for suggestions in errors.
        """
        self._rpc = rpc
        self._schemas = schemas
        self._listing = listing
        # Methods that certainly exist. Their errors get no suggestion, because NOT_FOUND then
        # means an object of the backend.
        self._found: set[tuple[str, str]] = set()

    async def invoke(self, service: str, method: str, request: Request, budget: Budget) -> Any:
        """Calls a method; see `GatewayClient.invoke_async`."""
        text = ""
        if method not in self._known(service).methods:
            # Encoded early, because an invalid request must raise before anything is sent.
            text = _UNTYPED.encode(request)
        try:
            context = {"service": service}
            lease = await self._rpc.acquire(_INVOKE, budget, context)
            try:
                schema = await self._schema(service, budget)
                types = schema.methods.get(method)
                if types is not None or not text:
                    text = schema.encoder.encode(request, types.input_type if types else None)
                fields = {"service": service, "method": method, "request_data": text}
                # Over the same lease, because the message layout was checked for its connection.
                answer = await self._rpc.send(lease, _INVOKE, fields, budget, context)
            finally:
                lease.release()
            reply = self._value(answer, service, method)
        except (InvalidRequestError, NotFoundError, UnsupportedError) as error:
            suggestion = await self._suggest(error, service, method, request, budget)
            if suggestion is None:
                raise
            unknown, nearest = (suggestion.what,), suggestion.nearest
            failure = with_suggestion(error, suggestion.text, unknown=unknown, nearest=nearest)
        else:
            self._found.add((service, method))
            return await self._decode_reply(service, method, reply, schema, budget)
        # Raised outside the `except` block, because the original error would be its context and
        # show the same failure twice.
        raise failure

    async def schema(self, service: str, budget: Budget) -> Schema:
        """Returns the schema of a backend, fetched first if necessary.

        Args:
            service: Registered name of the backend.
            budget: The time that is left of the call's timeout.
        """
        lease = await self._rpc.acquire(_INVOKE, budget, {"service": service})
        try:
            return await self._schema(service, budget)
        finally:
            lease.release()

    async def _schema(self, service: str, budget: Budget) -> Schema:
        return _UNKNOWN if self._schemas is None else await self._schemas.of(service, budget)

    def known_methods(self, service: str) -> list[str]:
        """Returns the methods of a backend that are known already; sends nothing."""
        return sorted(self._known(service).methods)

    def _known(self, service: str) -> Schema:
        schema = None if self._schemas is None else self._schemas.known(service)
        return schema or _UNKNOWN

    def _value(self, reply: Any, service: str, method: str) -> Any:
        """Returns the JSON value in a reply, or raises if the gateway rejected the call."""
        called, transport = f"{service}.{method}", self._rpc.transport
        if not reply.success:
            check(reply, transport, called, service=service)
        return from_json(
            # An empty text is an empty message, because proto3 leaves out what has its default.
            reply.response_data or "{}",
            "the reply",
            method=called,
            peer=transport.peer,
            service=service,
        )

    async def _decode_reply(
        self, service: str, method: str, reply: Any, schema: Schema, budget: Budget
    ) -> Any:
        """Returns the reply in Python values; fetches the schema again if it does not fit."""
        value, fits = _decode(schema, method, reply)
        if not fits and self._schemas is not None:
            schema = await self._schemas.refresh(service, budget)
            value, fits = _decode(schema, method, reply)
        return value

    async def _suggest(
        self, error: VirtufinError, service: str, method: str, request: object, budget: Budget
    ) -> Suggestion | None:
        """Returns a suggestion for the unknown name in a rejected request, or None if all exist."""
        schema = self._known(service)
        if isinstance(error, InvalidRequestError):
            return await self._unknown_field(service, method, request, budget)
        if method in schema.methods or (service, method) in self._found:
            return None
        try:
            wait = budget.at_most(_SUGGESTION_WAIT)
            services = await self._listing.list_services_async(timeout=wait)
            if service not in services:
                return unknown_name("service", service, "the gateway", services)
            methods = list(schema.methods)
            if not methods:
                wait = budget.at_most(_SUGGESTION_WAIT)
                listed = await self._listing.list_methods_async(service, timeout=wait)
                methods = [one["name"] for one in listed]
        # Ignored, because the user must get the error of the call, not that of this lookup.
        except VirtufinError:
            return None
        if method not in methods:
            return unknown_name("method", method, service, methods)
        self._found.add((service, method))
        return None

    async def _unknown_field(
        self, service: str, method: str, request: object, budget: Budget
    ) -> Suggestion | None:
        """Returns a suggestion for the first unknown field of a request, by the newest schema."""
        schema = self._known(service)
        # Twice, because the known schema may be outdated and lack a field that exists by now.
        for _ in range(2):
            types = schema.methods.get(method)
            if types is None:
                return None
            found = next(unknown_fields(schema.encoder, types.input_type, request), None)
            if found is None or self._schemas is None:
                return None
            schema, before = await self._schemas.refresh(service, budget), schema
            if schema is before:
                break
        return found


def _decode(schema: Schema, method: str, reply: Any) -> tuple[Any, bool]:
    """Returns the reply in Python values, and True if all of the reply fits the schema."""
    types = schema.methods.get(method)
    if types is None:
        return reply, False
    try:
        value, misfits = schema.decoder.complete(types.output_type, reply)
    except RecursionError:
        # "Fits", because fetching another schema would not make the reply less deeply nested.
        return reply, True
    return value, not misfits
