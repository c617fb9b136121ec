"""Calls the gateway's methods by name, in the message layout that the gateway has.

Callers name a method and its fields. `Rpc` looks the layout up, and the transport sends bytes. No
other module combines layouts with the transport.
"""

from __future__ import annotations

import time
from collections.abc import Coroutine
from typing import Any

from virtufin.api.client._deadlines import Budget
from virtufin.api.client._error_mapping import copy_error
from virtufin.api.client._transport import Lease, Stream, Transport, read_status
from virtufin.api.client.errors import VirtufinError
from virtufin.api.client.results import StatusResult

from .discovery import Discovery


class Rpc:
    """Calls of the gateway's methods by name, such as `State.GetState`."""

    def __init__(self, transport: Transport, discovery: Discovery) -> None:
        """Does no I/O.

        Args:
            transport: The connection to the gateway.
            discovery: The lookup of the gateway's message layout.
        """
        self.transport = transport
        self._discovery = discovery
        self.budget = transport.budget
        """Returns the budget for one call of the user, shared by all RPCs of that call."""

    async def unary(self, name: str, fields: dict[str, Any], budget: Budget, **context: Any) -> Any:
        """Calls a unary method, and returns the reply as the packaged message.

        Args:
            name: Service and method, such as `State.GetState`.
            fields: Fields of the packaged request message.
            budget: The time for the call, the lookup of the layout included.
            **context: The attributes of errors: service, key, topic.

        Raises:
            VirtufinError: See `errors`.
        """
        lease = await self.acquire(name, budget, context)
        try:
            method = self._discovery.wire.methods[name]
            request = method.request(**fields)
            return await self.transport.unary(lease, method, request, budget, context)
        finally:
            lease.release()

    async def accept(
        self, name: str, fields: dict[str, Any], budget: Budget, **context: Any
    ) -> StatusResult:
        """Calls a unary method whose reply is a status, and returns the status.

        Arguments are those of `unary`.

        Raises:
            VirtufinError: The call failed, or the gateway rejected the call in-band.
        """
        reply = await self.unary(name, fields, budget, **context)
        status = reply.status
        # Without `check_status`, because nearly every reply is a plain success.
        if status.success:
            return {"success": True, "status": status.status or "OK", "message": status.message}
        return self.check_status(name, reply, **context)

    def check_status(self, name: str, reply: Any, **context: Any) -> StatusResult:
        """Returns the status in a reply.

        Raises:
            VirtufinError: The gateway rejected the call.
        """
        return read_status(reply, self.transport, self.full_name(name), **context)

    async def acquire(
        self, name: str, budget: Budget, context: dict[str, Any], *, stream: bool = False
    ) -> Lease:
        """Takes a place for a call of a method, and looks the message layout up if needed.

        Args:
            name: Service and method.
            budget: The time for the call.
            context: The attributes of errors; gets the attributes `peer` and `method`.
            stream: True for a place on a channel for streams.

        Raises:
            VirtufinError: The lookup failed; the place is released.
        """
        transport, discovery = self.transport, self._discovery
        context["peer"] = transport.peer
        context["method"] = discovery.wire.methods[name].full_name
        lease = await transport.lease(budget, context, stream=stream)
        if (
            lease.was_connected
            and not transport.was_disconnected
            and not transport.may_be_replaced
            and time.monotonic() < discovery.expires_at
        ):
            return lease
        try:
            await discovery.ensure(lease, budget)
            return lease
        except BaseException as error:
            lease.release()
            if not isinstance(error, VirtufinError):
                raise
            failure = copy_error(error)
        # A copy raised outside the except block, because the error of the lookup would be its
        # `__context__` otherwise, and users would see the failure twice.
        failure.__dict__.update(context)
        raise failure

    def send(
        self,
        lease: Lease,
        name: str,
        fields: dict[str, Any],
        budget: Budget,
        context: dict[str, Any],
    ) -> Coroutine[Any, Any, Any]:
        """Calls a unary method over a lease of `acquire`, with its context; else like `unary`."""
        method = self._discovery.wire.methods[name]
        request = method.request(**fields)
        return self.transport.unary(lease, method, request, budget, context)

    async def stream(
        self, name: str, fields: dict[str, Any], budget: Budget, **context: Any
    ) -> Stream:
        """Opens a server stream; the caller must release it, and call `stream_ended` at its end.

        Args:
            name: Service and method, such as `Pubsub.Subscribe`.
            fields: Fields of the packaged request message.
            budget: The time for opening. The stream itself has no deadline.
            **context: The attributes of errors.

        Raises:
            VirtufinError: See `errors`.
        """
        lease = await self.acquire(name, budget, context, stream=True)
        method = self._discovery.wire.methods[name]
        return self.transport.stream(lease, method, method.request(**fields), budget, context)

    async def ensure_layout(self, budget: Budget) -> None:
        """Looks the message layout up if it is not known.

        Raises:
            VirtufinError: The gateway cannot be reached, or the budget ended first.
        """
        # Any method serves, because acquiring a lease looks up the layout of all methods.
        lease = await self.acquire("Gateway.ListServices", budget, {})
        lease.release()

    def stream_ended(self) -> None:
        """Marks the layout for a new lookup before the next call."""
        # Looked up again, because a stream also ends when another gateway replaces this one.
        self.transport.may_be_replaced = True

    def full_name(self, name: str) -> str:
        """Returns the name of a method for error texts, such as `virtufin.State/GetState`."""
        return self._discovery.wire.methods[name].full_name
