"""grpc's call objects, one unary call and one stream at a time.

A call's own cancellation (the waiting task was cancelled) cancels it on the wire; a call that ends
because the client was closed, or because the owner of its channel closed that, fails with an error
that says so, never with a CancelledError its task did not ask for.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc import aio

from virtufin.api.client._asyncio import OtherCancelledError, await_other
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
)

from .channels import Lease, is_connected
from .method import Method


class Call:
    """One unary call in flight."""

    def __init__(
        self, call: Any, lease: Lease, redacting: Redacting, context: dict[str, Any]
    ) -> None:
        self._call = call
        self._lease = lease
        self._redacting = redacting
        self._context = context
        self._closed_by_client = False

    def cancel(self) -> None:
        """Cancels the call because the client is closing."""
        self._closed_by_client = True
        if self._call is not None:
            self._call.cancel()

    async def response(self) -> bytes:
        """Waits for the response; cancelling this cancels the call on the wire.

        Raises:
            VirtufinError: The call failed, or the client was closed.
            Exception: Whatever an interceptor raised.
        """
        call = self._call
        failure: Exception
        try:
            raw: bytes = await await_other(call)
            return raw
        except asyncio.CancelledError:
            self._lease.release_later()
            raise
        except OtherCancelledError:
            failure = cancelled_elsewhere(self._context)
        except aio.AioRpcError as error:
            failure = from_rpc_error(error, self._redacting, **self._context)
        except aio.BaseError as error:
            reason = self._redacting.redact(str(error))
            failure = InternalError(f"grpc could not carry out the call: {reason}", **self._context)
        except Exception as error:  # noqa: BLE001 - an interceptor's own, raised below
            failure = error
        finally:
            # A traceback of an error would hold grpc's call through these, and that its channel.
            del call
            self._call = None
        if isinstance(failure, DeadlineExceededError):
            # It ended on this side; the server may still count it.
            self._lease.release_later()
        if self._closed_by_client:
            raise ClientClosedError("the client was closed during the call", **self._context)
        raise failure


class Stream:
    """One server stream: headers, then messages, until released."""

    def __init__(
        self, method: Method, call: Any, lease: Lease, redacting: Redacting, context: dict[str, Any]
    ) -> None:
        self._method = method
        self._call = call
        self._lease = lease
        self._redacting = redacting
        self._context = context
        # Not `read()`: that returns nothing more once the status is in, whatever came before it.
        self._messages = self._call.__aiter__()

    @property
    def connected(self) -> bool:
        """Whether the channel below has a connection."""
        return is_connected(self._lease.channel)

    async def headers(self) -> bool:
        """Waits for response headers; False where the stream ended without any."""
        try:
            await self._call.initial_metadata()
        except asyncio.CancelledError:
            if not _is_closed(self._lease.channel):
                raise
        else:
            return not self._call.done()
        raise cancelled_elsewhere(self._context)

    async def next(self) -> tuple[Any, int] | None:
        """The next message (None for one that says nothing) with its size in bytes.

        None alone stands for a clean end.

        Raises:
            VirtufinError: The stream ended otherwise.
        """
        try:
            raw = await self._messages.__anext__()
        except StopAsyncIteration:
            return None
        except aio.AioRpcError as error:
            failure = from_rpc_error(error, self._redacting, **self._context)
        except asyncio.CancelledError:
            if not _is_closed(self._lease.channel):
                raise
            failure = cancelled_elsewhere(self._context)
        except aio.BaseError as error:
            reason = self._redacting.redact(str(error))
            failure = from_status(
                grpc.StatusCode.INTERNAL,
                f"grpc could not carry on the stream: {reason}",
                **self._context,
            )
        else:
            return decoded(self._method, raw, self._context), len(raw)
        # Out here, as grpc's error would be its context and show what was taken out of it.
        raise failure

    def cancel(self) -> None:
        """Cancels the stream where it still runs, and gives its place back."""
        if self._call is not None and self._call.cancel():
            self._lease.release_later()
        else:
            self._lease.release()

    async def release(self) -> None:
        """Cancels the stream, and lets go of what reads it; nobody may be reading.

        As long as anyone holds grpc's call, its channel lives on, closed or not.
        """
        self.cancel()
        messages, self._call, self._messages = self._messages, None, None
        if messages is not None:
            await messages.aclose()


def start(callable_: Any, payload: bytes, context: dict[str, Any], **options: Any) -> Any:
    """Starts a call on a channel that may have been closed by its owner.

    Raises:
        ClientClosedError: It was.
    """
    try:
        return callable_(payload, **options)
    except aio.UsageError as error:
        raise ClientClosedError(f"the channel is closed: {error}", **context) from None


def _is_closed(channel: aio.Channel) -> bool:
    """Whether the owner of a channel has closed it, which cancels the streams on it."""
    try:
        return channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN
    except aio.UsageError:
        return True


def decoded(method: Method, raw: bytes, context: dict[str, Any]) -> Any:
    """Parses a response; a gateway that speaks another wire shows here."""
    try:
        return method.decode(raw)
    except DecodeError as error:
        name = method.response.DESCRIPTOR.full_name
        raise InvalidReplyError(f"the reply is not a {name}: {error}", **context) from None
