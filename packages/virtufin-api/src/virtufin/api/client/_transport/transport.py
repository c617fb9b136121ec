"""Calls and streams over the connection of a client, with deadlines and headers; bytes only."""

from __future__ import annotations

import asyncio
from typing import Any

from google.protobuf.message import Message
from grpc import aio

from virtufin.api.client._asyncio import KNOWS_OWN_CANCELLATION, await_other, is_being_cancelled
from virtufin.api.client._deadlines import Budget
from virtufin.api.client._error_mapping import cancelled_elsewhere, expired, narrow
from virtufin.api.client._settings import ClientSettings
from virtufin.api.client._types import NOT_GIVEN, Timeout
from virtufin.api.client._validation import require_timeout
from virtufin.api.client.errors import (
    ClientClosedError,
    InvalidInputError,
    InvalidReplyError,
    UnavailableError,
    UnsupportedError,
)

from .calls import Stream, call_failure, decode_reply, start_call
from .channel_options import retried_methods
from .channels import Lease
from .connection import Connection, ConnectionState
from .method import Method


class Transport(Connection):
    """The connection of one client to its gateway, and the calls over it."""

    def __init__(self, settings: ClientSettings, channel: aio.Channel | None = None) -> None:
        super().__init__(settings, channel)
        self._retried = retried_methods(settings)
        # A flag, because health checks do not look the message layout up but may find that the
        # connection broke; `Discovery` clears the flag.
        self.was_disconnected = False
        """True if a `call` began without a connection since the flag was last cleared."""
        self.may_be_replaced = False
        """True if another gateway may have taken the place of this one since the flag was cleared.

        A call ended UNAVAILABLE, a reply could not be parsed, or a stream ended.
        """

    async def lease(
        self, budget: Budget, context: dict[str, Any], *, stream: bool = False
    ) -> Lease:
        """Reserves a slot on a channel for one call; the caller must release the lease.

        Opens the channel if necessary, and fetches the headers of the call.

        Args:
            budget: The time that is left for fetching the API key.
            context: Attributes to set on a raised error: peer, method, service, key, topic.
            stream: True for a server stream.

        Raises:
            VirtufinError: The client is closed or belongs to another loop, or `api_key` failed.
        """
        channels = self._channels or await self.open()
        metadata = self.credentials.fixed
        if metadata is None:
            self.check()
            # Fetched before a slot is reserved, because fetching may take long.
            metadata = await self.credentials.headers(budget, context)
        # After the wait, because a channel made after the client was closed would stay open. With a
        # comparison first, because every call comes here.
        if self.state is not ConnectionState.OPEN or self._loop is not asyncio.get_running_loop():
            self.check()
        return channels.lease(metadata, stream=stream)

    async def call(self, method: Method, request: Message, budget: Budget, **context: Any) -> Any:
        """Calls a unary method and returns the response message.

        Args:
            method: The RPC.
            request: The request message.
            budget: The time that is left for the call.
            **context: Attributes to set on a raised error: service, key, topic.

        Raises:
            VirtufinError: See `errors`.
        """
        context["peer"], context["method"] = self.peer, method.full_name
        lease = await self.lease(budget, context)
        try:
            self.was_disconnected |= not lease.was_connected
            return await self.unary(lease, method, request, budget, context)
        finally:
            lease.release()

    async def unary(
        self,
        lease: Lease,
        method: Method,
        request: Message,
        budget: Budget,
        context: dict[str, Any],
    ) -> Any:
        """Calls a unary method over a lease; the caller must release the lease afterwards.

        Other arguments, result and errors are those of `call`. The caller must put `peer` and
        `method` into the context.
        """
        # None, because gRPC does not report which of its own attempts failed.
        context["attempt"] = None if method.full_name in self._retried else 1
        payload = self._serialize(method, request, context)
        left = budget.left()
        if left == 0.0:
            raise expired(budget, **context)
        call = start_call(lease, method, payload, context, timeout=left)
        self._calls.add(call)
        try:
            # Not `await_other` everywhere, because every call would wait in one more coroutine.
            raw = await (call if KNOWS_OWN_CANCELLATION else await_other(call))
            return decode_reply(method, raw, context)
        except asyncio.CancelledError:
            if is_being_cancelled() or not KNOWS_OWN_CANCELLATION:
                # Later, because the server counts the call until it has seen the cancellation.
                lease.release_later()
                raise
            failure: Exception = cancelled_elsewhere(context)
        except Exception as error:  # noqa: BLE001 - raised below, without grpc's own as its context
            failure = call_failure(error, lease, self.credentials, context)
        finally:
            self._calls.discard(call)
            # Deleted, because the traceback of an error would keep grpc's call alive through this
            # reference, and the call would keep its channel alive.
            del call
        if self.closed:
            raise ClientClosedError("the client was closed during the call", **context)
        if isinstance(failure, (InvalidReplyError, UnavailableError)):
            self.may_be_replaced = True
        raise failure

    def stream(
        self,
        lease: Lease,
        method: Method,
        request: Message,
        budget: Budget,
        context: dict[str, Any],
    ) -> Stream:
        """Starts a server stream; the caller must release the stream, not the lease.

        Args:
            lease: The slot of the stream; released here if the start fails, else by the stream.
            method: The RPC.
            request: The request message.
            budget: The time that is left for opening. The stream itself has no deadline.
            context: Attributes to set on a raised error.

        Raises:
            VirtufinError: The request cannot be sent.
        """
        try:
            payload = self._serialize(method, request, context)
            if budget.left() == 0.0:
                raise expired(budget, **context)
            # Without a timeout, because a gRPC deadline would end the subscription.
            call = start_call(lease, method, payload, context, timeout=None)
        except BaseException:
            lease.release()
            raise
        return Stream(method, call, lease, self.credentials, context)

    def budget(self, timeout: Timeout) -> Budget:
        """Returns the time for a call: `timeout` seconds; if not given, the client's default."""
        return Budget(self._settings.timeout if timeout is NOT_GIVEN else require_timeout(timeout))

    def _serialize(self, method: Method, request: Message, context: dict[str, Any]) -> bytes:
        try:
            payload = method.encode(request)
        except UnsupportedError as error:
            raise narrow(error, UnsupportedError, **context) from None
        limit = self._settings.max_message_bytes
        if len(payload) > limit:
            raise InvalidInputError(
                f"the request has {len(payload)} bytes, the limit is {limit}; "
                "send less, or raise max_message_bytes= here and the gateway's own limit",
                **context,
            )
        return payload
