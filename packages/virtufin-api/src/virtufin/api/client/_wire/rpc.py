"""Calls the gateway's methods by name, in the message layout that the gateway has.

Callers give the name of a method and the fields of its request. `Rpc` looks the layout up and makes
the message, and the transport sends bytes. No other module combines layouts with the transport.
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
        """Makes a budget from a timeout: the time for one call of the user and all its RPCs."""

    async def unary(self, name: str, fields: dict[str, Any], budget: Budget, **context: Any) -> Any:
        """Calls a unary method, and returns the reply message as the installed protos define it.

        Args:
            name: Service and method, such as `State.GetState`.
            fields: Fields of the request message as the installed protos define it.
            budget: The time that is left for the lookup of the layout and the call.
            **context: Attributes to set on a raised error: service, key, topic.

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
        """Calls a unary method whose reply is an in-band status, and returns the status.

        Arguments are those of `unary`.

        Raises:
            VirtufinError: The call failed, or the status in the reply has `success=false`.
        """
        reply = await self.unary(name, fields, budget, **context)
        status = reply.status
        # Without `check_status`, because nearly every reply is a plain success.
        if status.success:
            return {"success": True, "status": status.status or "OK", "message": status.message}
        return self.check_status(name, reply, **context)

    def check_status(self, name: str, reply: Any, **context: Any) -> StatusResult:
        """Returns the in-band status of a reply.

        Args:
            name: Service and method, such as `State.GetState`.
            reply: The reply message.
            **context: Attributes to set on a raised error.

        Raises:
            VirtufinError: The status has `success=false`.
        """
        return read_status(reply, self.transport, self.full_name(name), **context)

    async def acquire(
        self, name: str, budget: Budget, context: dict[str, Any], *, stream: bool = False
    ) -> Lease:
        """Reserves a slot on a channel for one call; the caller must release the lease.

        Also looks the message layout up if a lookup is due; see `discovery`.

        Args:
            name: Service and method, such as `State.GetState`.
            budget: The time that is left of the call's timeout.
            context: Attributes to set on a raised error. This method adds `peer` and `method`.
            stream: True for a server stream.

        Raises:
            VirtufinError: There is no lease: the client is closed, `api_key` failed, or the lookup
                failed.
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
        """Calls a unary method over a lease of `acquire`, which the caller must release.

        `context` is the dict that `acquire` got. The other arguments are those of `unary`.
        """
        method = self._discovery.wire.methods[name]
        request = method.request(**fields)
        return self.transport.unary(lease, method, request, budget, context)

    async def stream(
        self, name: str, fields: dict[str, Any], budget: Budget, **context: Any
    ) -> Stream:
        """Opens a server stream.

        When the stream has ended, the caller must first `release()` it and then call
        `stream_ended()`.

        Args:
            name: Service and method, such as `Pubsub.Subscribe`.
            fields: Fields of the request message as the installed protos define it.
            budget: The time that is left for opening. The stream itself has no deadline.
            **context: Attributes to set on a raised error.

        Raises:
            VirtufinError: See `errors`.
        """
        lease = await self.acquire(name, budget, context, stream=True)
        method = self._discovery.wire.methods[name]
        return self.transport.stream(lease, method, method.request(**fields), budget, context)

    async def ensure_layout(self, budget: Budget) -> None:
        """Looks the message layout up if a lookup is due; see `discovery`.

        Raises:
            VirtufinError: The gateway cannot be reached, or the budget ended first.
        """
        # Any method serves, because acquiring a lease looks up the layout of all methods.
        lease = await self.acquire("Gateway.ListServices", budget, {})
        lease.release()

    def stream_ended(self) -> None:
        """Makes the next call look the message layout up again; called after a stream has ended."""
        # Looked up again, because a stream also ends when another gateway replaces this one.
        self.transport.may_be_replaced = True

    def full_name(self, name: str) -> str:
        """Returns the name of a method for error texts, such as `virtufin.State/GetState`."""
        return self._discovery.wire.methods[name].full_name
