"""Calls of grpc: starting them, what their failures mean, and `Stream` for a server stream.

Cancelling the task that waits cancels the gRPC call. A call that ends because the client or its
channel was closed raises an error that reports the reason. Such a call never raises CancelledError
in a task that was not cancelled.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc import aio

from virtufin.api.client._asyncio import OtherCancelledError
from virtufin.api.client._error_mapping import (
    Redacting,
    cancelled_elsewhere,
    from_rpc_error,
    from_status,
)
from virtufin.api.client.errors import (
    ClientClosedError,
    DeadlineExceededError,
    InternalError,
    InvalidReplyError,
    VirtufinError,
)

from .channels import Lease, is_connected, state_of
from .method import Method

Deliver = Callable[[Any, int], "Awaitable[None] | None"]
"""A function that takes a message and its size in bytes.

If the function returns an awaitable, the next message is read only after that has finished.
"""


def call_failure(
    error: Exception, lease: Lease, redacting: Redacting, context: dict[str, Any]
) -> Exception:
    """Returns the error to raise for a unary call that failed.

    Args:
        error: The error of grpc, or of an interceptor of the user, which is returned unchanged.
        lease: The slot of the call.
        redacting: Removes secrets from texts.
        context: Attributes to set on the error, such as `topic` or `key`.
    """
    if isinstance(error, OtherCancelledError):
        return cancelled_elsewhere(context)
    if isinstance(error, aio.AioRpcError):
        failure = from_rpc_error(error, redacting, **context)
        if isinstance(failure, DeadlineExceededError):
            # Later, because the call ended on this side only and the server may still count it.
            lease.release_later()
        return failure
    if isinstance(error, aio.BaseError):
        reason = redacting.redact(str(error))
        return InternalError(f"grpc could not carry out the call: {reason}", **context)
    return error


class Stream:
    """A server stream, which the owner must release; that also releases the lease."""

    def __init__(
        self, method: Method, call: Any, lease: Lease, redacting: Redacting, context: dict[str, Any]
    ) -> None:
        self._method = method
        self._call = call
        self._lease = lease
        self._redacting = redacting
        self._context = context
        # An iterator instead of `read()`, because `read()` returns no message once the status has
        # arrived, even if messages arrived before the status.
        self._messages = self._call.__aiter__()
        self.first_message_at: float | None = None
        """The time of the first message, on the monotonic clock; None before it."""
        self.last_message_at: float | None = None
        """The time of the last message; heartbeats are messages too."""

    @property
    def connected(self) -> bool:
        """Returns whether the channel of the stream has a connection."""
        return is_connected(self._lease.channel)

    async def headers(self) -> bool:
        """Waits for response headers.

        Returns:
            True if headers came. False if the stream has already ended.

        Raises:
            CallCancelledError: The owner of the channel closed the channel.
        """
        try:
            await self._call.initial_metadata()
        except asyncio.CancelledError:
            # Checked, because grpc raises CancelledError here too if the channel was closed, and
            # then the running task was not cancelled.
            if not _is_closed(self._lease.channel):
                raise
        else:
            return not self._call.done()
        raise cancelled_elsewhere(self._context)

    async def read(self, deliver: Deliver) -> None:
        """Reads messages until the clean end of the stream.

        Args:
            deliver: A function that takes each message and its size in bytes. If the function
                returns an awaitable, the next message is read after that, so a slow consumer makes
                the server pause. A message to skip, such as a heartbeat, is not delivered.

        Raises:
            VirtufinError: The stream ended with an error.
        """
        messages, decode = self._messages, self._method.decode
        while True:
            try:
                raw = await messages.__anext__()
                message = decode(raw)
            except StopAsyncIteration:
                return
            except aio.AioRpcError as error:
                failure: VirtufinError = from_rpc_error(error, self._redacting, **self._context)
                break
            except asyncio.CancelledError:
                if not _is_closed(self._lease.channel):
                    raise
                failure = cancelled_elsewhere(self._context)
                break
            except DecodeError as error:
                failure = _unreadable(self._method, error, self._context)
                break
            except aio.BaseError as error:
                reason = self._redacting.redact(str(error))
                failure = from_status(
                    grpc.StatusCode.INTERNAL,
                    f"grpc could not carry on the stream: {reason}",
                    **self._context,
                )
                break
            self.last_message_at = now = time.monotonic()
            if self.first_message_at is None:
                self.first_message_at = now
            # A heartbeat, which only shows that the stream is alive.
            if message is None:
                continue
            room = deliver(message, len(raw))
            if room is not None:
                await room
        # Raised outside the except block, because grpc's error would be its `__context__` and show
        # the secrets that were redacted.
        raise failure

    def cancel(self) -> None:
        """Cancels the stream if it still runs, and releases its lease."""
        # Later for a running stream, because the server counts it until it has seen the end.
        if self._call is not None and self._call.cancel():
            self._lease.release_later()
        else:
            self._lease.release()

    async def release(self) -> None:
        """Cancels the stream, releases its lease and closes its message iterator.

        No task may be reading the stream.
        """
        self.cancel()
        # Set to None, because a reference to grpc's call keeps its channel alive after closing.
        messages, self._call, self._messages = self._messages, None, None
        if messages is not None:
            await messages.aclose()


def start_call(
    lease: Lease, method: Method, payload: bytes, context: dict[str, Any], *, timeout: float | None
) -> Any:
    """Starts a gRPC call over a lease, and returns grpc's call object.

    Args:
        lease: The slot on a channel for this call, with its headers.
        method: The RPC.
        payload: The serialized request.
        context: Attributes to set on a raised error.
        timeout: Seconds until the deadline of the call; None for no deadline.

    Raises:
        ClientClosedError: The owner of the channel closed the channel.
    """
    path = method.path
    try:
        # Kept for each channel, because making a callable costs as much as a tenth of a call.
        if path not in lease.callables:
            make = (
                lease.channel.unary_stream if method.server_streaming else lease.channel.unary_unary
            )
            lease.callables[path] = make(path)
        return lease.callables[path](payload, timeout=timeout, metadata=lease.metadata)
    except aio.UsageError as error:
        raise ClientClosedError(f"the channel is closed: {error}", **context) from None


def _is_closed(channel: aio.Channel) -> bool:
    """Returns whether the owner of a channel closed it, which cancels the streams on it."""
    return state_of(channel) is grpc.ChannelConnectivity.SHUTDOWN


def decode_reply(method: Method, raw: bytes, context: dict[str, Any]) -> Any:
    """Returns the response message for the received bytes.

    Raises:
        InvalidReplyError: The bytes are not a response of this method. The gateway may have another
            message layout.
    """
    try:
        return method.decode(raw)
    except DecodeError as error:
        raise _unreadable(method, error, context) from None


def _unreadable(method: Method, error: DecodeError, context: dict[str, Any]) -> InvalidReplyError:
    name = method.response.DESCRIPTOR.full_name
    return InvalidReplyError(f"the reply is not a {name}: {error}", **context)
