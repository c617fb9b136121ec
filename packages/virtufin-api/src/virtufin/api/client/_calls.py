"""grpc's call objects, one unary call and one stream at a time.

A call's own cancellation (the waiting task was cancelled) cancels it on the wire; a call that ends
because the client was closed, or because the owner of its channel closed that, fails with an error
that says so, never with a CancelledError its task did not ask for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc import aio

from virtufin.api.client._channels import StreamSlot
from virtufin.api.client._method import Method
from virtufin.api.client._statuses import cancelled_elsewhere, from_rpc_error
from virtufin.api.client.errors import ClientClosedError, InvalidReplyError


class Call:
    """One unary call in flight."""

    def __init__(self, start: Callable[[], Any], key: str | None, context: dict[str, Any]) -> None:
        self._key = key
        self._context = context
        self._closed_by_client = False
        self._call = _started(start, context)

    def cancel(self) -> None:
        """Cancels the call because the client is closing."""
        self._closed_by_client = True
        self._call.cancel()

    async def response(self) -> bytes:
        """Waits for the response; cancelling this cancels the call on the wire."""
        finished = self._finished()
        try:
            # Waiting beside the call, not for it, tells a cancellation of this task (raised here)
            # from one of the call (seen below).
            await asyncio.wait((finished,))
        except asyncio.CancelledError:
            self._call.cancel()
            raise
        if self._closed_by_client:
            finished.cancel()
            raise ClientClosedError("the client was closed during the call", **self._context)
        try:
            return await self._call  # type: ignore[no-any-return]
        except aio.AioRpcError as error:
            raise from_rpc_error(error, self._key, **self._context) from None
        except asyncio.CancelledError:
            if not self._call.cancelled():
                raise
            raise cancelled_elsewhere(self._context) from None

    def _finished(self) -> asyncio.Future[Any]:
        if not isinstance(self._call, aio.InterceptedUnaryUnaryCall):
            finished = asyncio.get_running_loop().create_future()
            self._call.add_done_callback(lambda _: _resolve(finished))
            return finished
        return asyncio.ensure_future(_quietly(self._call))


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _quietly(call: Any) -> None:
    """Waits for a call behind interceptors, whose done callbacks do not fire if one raises."""
    with contextlib.suppress(Exception):
        await call


class Stream:
    """One server stream: headers, then messages, until released."""

    def __init__(
        self,
        method: Method,
        start: Callable[[], Any],
        slot: StreamSlot,
        key: str | None,
        context: dict[str, Any],
    ) -> None:
        self._method = method
        self._slot = slot
        self._key = key
        self._context = context
        try:
            self._call = _started(start, context)
        except BaseException:
            slot.release()
            raise
        # Not `read()`: that returns nothing more once the status is in, whatever came before it.
        self._messages = self._call.__aiter__()

    @property
    def connected(self) -> bool:
        """Whether the channel below has a connection."""
        state = self._slot.channel.get_state()
        return state is grpc.ChannelConnectivity.READY

    async def headers(self) -> bool:
        """Waits for response headers; False where the stream ended without any."""
        try:
            await self._call.initial_metadata()
        except asyncio.CancelledError:
            if not _is_closed(self._slot.channel):
                raise
            raise cancelled_elsewhere(self._context) from None
        return not self._call.done()

    async def next(self) -> tuple[Any, int] | None:
        """The next message with its size in bytes; None at a clean end.

        Raises:
            VirtufinError: The stream ended otherwise.
        """
        try:
            raw = await self._messages.__anext__()
        except StopAsyncIteration:
            return None
        except aio.AioRpcError as error:
            raise from_rpc_error(error, self._key, **self._context) from None
        except asyncio.CancelledError:
            if not _is_closed(self._slot.channel):
                raise
            raise cancelled_elsewhere(self._context) from None
        return decoded(self._method, raw, self._context), len(raw)

    async def release(self) -> None:
        """Cancels the stream where it still runs, and gives its place back."""
        self._call.cancel()
        self._slot.release()
        await self._messages.aclose()


def _started(start: Callable[[], Any], context: dict[str, Any]) -> Any:
    """Starts a call on a channel that may have been closed by its owner."""
    try:
        return start()
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
        return method.response.FromString(raw)
    except DecodeError as error:
        name = method.response.DESCRIPTOR.full_name
        raise InvalidReplyError(f"the reply is not a {name}: {error}", **context) from None
