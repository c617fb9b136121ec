"""Looks up the gateway's message layout by its reflection service.

The message layout is which fields and numbers the gateway's messages have. It is looked up:

- before the first call, and before a call that starts without a connection, because another gateway
  may answer after a break (each call pays one `get_state()` for this);
- before the next call after a call that ended UNAVAILABLE, after a reply that did not parse, and
  after a stream that ended;
- in the background, when a call finds that the layout is older than five minutes.

A call waits for the lookup, unless that runs in the background. Concurrent calls wait for the same
lookup. If the gateway has no reflection, the packaged layout is used, which is that of the
installed protos. If reflection fails or does not answer in time, the layout of the last lookup is
used, which is the packaged layout at first. If the gateway cannot be reached, the call fails with
UnavailableError.

Two limits remain. If a channel has several addresses, the same layout is used for all of them. A
gateway that is replaced while the channel stays READY is noticed within five minutes, or by the
first reply that does not parse.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import grpc
from grpc import aio

from virtufin.api.client import _protobuf
from virtufin.api.client._backoff import RetryDelay
from virtufin.api.client._deadlines import Budget
from virtufin.api.client._error_mapping import from_status, unreachable
from virtufin.api.client._transport import (
    Lease,
    Transport,
    is_connected,
    is_connecting,
    leave_idle_and_connecting,
)
from virtufin.api.client._types import NOT_GIVEN
from virtufin.api.client.errors import VirtufinError

from .wire import Wire, confirm

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    from virtufin.api.client._protobuf import ReflectionClient, ReflectionUnavailableError

logger = logging.getLogger("virtufin.api.client.wire")

# Five minutes, because an upgrade in place that moves fields to other numbers may show in no reply,
# so only time can trigger the lookup.
LIFETIME = 300.0
"""Seconds after which the next call starts a new lookup in the background."""


class Discovery:
    """The lookup of the message layout of one client's gateway, by its reflection service."""

    def __init__(
        self, transport: Transport, packaged: Wire, timeout: float, *, enabled: bool
    ) -> None:
        """Does no I/O.

        Args:
            transport: The connection to the gateway.
            packaged: The layout of the installed protos.
            timeout: Seconds that an answer of the reflection service may take.
            enabled: False uses `packaged` always and never looks the gateway's layout up.
        """
        self.wire = packaged
        """The layout in use."""
        self.failure: Exception | None = None
        """The error of the last lookup; None if the lookup returned descriptors."""
        # Kept, because schemas of backends from before a break may belong to another gateway.
        self.connected_at = 0.0
        """The time on the monotonic clock at which a call last started without a connection."""
        self.timeout = timeout
        self._transport = transport
        self._packaged = packaged
        self._enabled = enabled
        self._services = tuple(dict.fromkeys(packaged[name].service for name in packaged))
        # A time instead of a flag, because `Rpc` then needs one comparison to see that no lookup is
        # due.
        self.expires_at = 0.0
        """The time of the next lookup, on the monotonic clock; 0 means before the next call."""
        self._retry = RetryDelay()
        self._task: asyncio.Task[ReflectionUnavailableError | None] | None = None
        self._client: ReflectionClient | None = None

    async def ensure(self, lease: Lease, budget: Budget) -> None:
        """Looks the layout up over the channel of a call, if a lookup is due.

        Args:
            lease: The lease of the call, whose channel carries the lookup.
            budget: The time that is left of the call's timeout.

        Raises:
            DeadlineExceededError: The budget ended first.
            UnavailableError: The gateway cannot be reached.
        """
        # Everything starts over, because another gateway may answer after a break.
        if self._transport.was_disconnected or not lease.was_connected:
            self._transport.was_disconnected = False
            self.connected_at = time.monotonic()
            self.failure = None
            self.expires_at = 0.0
            self._retry.reset()
        if self._transport.may_be_replaced:
            self._transport.may_be_replaced = False
            self.expires_at = 0.0
        if not self._enabled:
            self.expires_at = math.inf
        elif self.expires_at:
            if time.monotonic() >= self.expires_at and self._task is None:
                _ = self._start(lease)  # not awaited, because the transport owns the task
        elif self._retry.elapsed:
            await self._wait(lease, budget)

    async def files(self, symbol: str) -> list[FileDescriptorProto]:
        """Fetches the proto files that define a symbol, and their imports, imported files first.

        Args:
            symbol: A full name, or the registered name of a backend.

        Raises:
            ReflectionError: Fetching failed. The error is raised without sending anything if the
                lookup of the layout has found that reflection is missing or does not answer.
        """
        # Without the traceback, because each raise adds frames to the stored error.
        if self.expires_at and self.failure is not None:
            raise self.failure.with_traceback(None)
        try:
            # The client's default timeout, because fetching the API key needs some limit.
            budget = self._transport.budget(NOT_GIVEN)
            lease = await self._transport.lease(budget, {"peer": self._transport.peer})
            try:
                return await self._fetch(lease, (symbol,), skip_missing=False)
            finally:
                lease.release()
        except VirtufinError as error:
            raise _protobuf.ReflectionUnavailableError(
                grpc.StatusCode.UNKNOWN, str(error)
            ) from error

    async def _wait(self, lease: Lease, budget: Budget) -> None:
        """Waits for a lookup, and for further lookups while the channel is still connecting.

        Raises:
            DeadlineExceededError: The budget ended first.
            UnavailableError: The gateway cannot be reached.
        """
        # Not with an empty budget, because the transport then fails the call without sending.
        while not self.expires_at and budget.left() != 0.0:
            own = self._task is None
            task = self._task or self._start(lease)
            await asyncio.wait((task,), timeout=budget.left())
            # Again, because the client may have been closed during the wait.
            self._transport.check()
            if not task.done():
                raise from_status(
                    grpc.StatusCode.DEADLINE_EXCEEDED,
                    "the gateway's reflection, which has the layout of its messages, had not "
                    f"answered when the time was up ({budget.total:.3g} s), so nothing was sent; "
                    "give more time, or wire='packaged' to leave it out",
                    details="deadline exceeded before the call was sent",
                    peer=self._transport.peer,
                )
            error = None if task.cancelled() else task.result()
            if error is None:
                return
            timed_out = error.code is grpc.StatusCode.DEADLINE_EXCEEDED
            if timed_out and is_connecting(lease.channel):
                continue
            # Another call's lookup is repeated, because it may have failed on the channel of that
            # call only, such as the channel of a stream that was still connecting.
            if own or not is_connected(lease.channel):
                raise unreachable(error.details, peer=self._transport.peer)

    def _start(self, lease: Lease) -> asyncio.Task[ReflectionUnavailableError | None]:
        self._task = self._transport.spawn(self._look_up(lease), "virtufin-layout")
        self._task.add_done_callback(self._clear)
        return self._task

    def _clear(self, _: object) -> None:
        self._task = None

    async def _look_up(self, lease: Lease) -> ReflectionUnavailableError | None:
        """Looks the layout up; returns an error if the gateway could not be reached."""
        try:
            files = await self._gateway_files(lease)
            wire = confirm(self._packaged, files)
            if wire is None:
                # Imported here, because few gateways differ from the packaged protos.
                from .adaptation import adapt

                # In a thread, because large descriptors would block the event loop.
                wire = await asyncio.to_thread(adapt, self._packaged, files)
        except Exception as error:  # noqa: BLE001 - calls go on with the layout known last
            if isinstance(error, _protobuf.ReflectionUnavailableError) and _is_away(error, lease):
                return error
            self._fail(error)
        else:
            if wire.origin != "packaged" and wire.differences != self.wire.differences:
                logger.info("the gateway speaks another wire than the packaged protos: %s", wire)
            self.wire = wire
            self.failure = None
            self.expires_at = time.monotonic() + LIFETIME
            self._retry.reset()
        return None

    async def _gateway_files(self, lease: Lease) -> list[FileDescriptorProto]:
        """Fetches the proto files of the gateway's own services; skips those that do not exist."""
        await self._connect(lease.channel)
        try:
            return await self._fetch(lease, self._services, skip_missing=True)
        except _protobuf.ReflectionUnavailableError as error:
            # A second request, because the failure may be that of an earlier attempt to connect,
            # and there is a connection by now.
            if error.code is not grpc.StatusCode.UNAVAILABLE or not is_connected(lease.channel):
                raise
        return await self._fetch(lease, self._services, skip_missing=True)

    async def _connect(self, channel: aio.Channel) -> None:
        """Waits until the channel has connected or has failed to connect.

        Connecting is awaited separately so that the time for the answer starts afterwards.

        Raises:
            ReflectionUnavailableError: Connecting takes longer than an answer may take.
        """
        try:
            await asyncio.wait_for(leave_idle_and_connecting(channel), self.timeout)
        except asyncio.TimeoutError:
            code = grpc.StatusCode.DEADLINE_EXCEEDED
            raise _protobuf.ReflectionUnavailableError(code, "still connecting") from None
        except aio.UsageError as error:  # because the owner of the channel closed it
            raise _protobuf.ReflectionUnavailableError(
                grpc.StatusCode.CANCELLED, str(error)
            ) from error

    async def _fetch(
        self, lease: Lease, symbols: Sequence[str], *, skip_missing: bool
    ) -> list[FileDescriptorProto]:
        client = _protobuf.ReflectionClient(
            lease.channel, timeout=self.timeout, metadata=lease.metadata, like=self._client
        )
        self._client = client
        try:
            return await client.files(*symbols, skip_missing=skip_missing)
        except _protobuf.ReflectionUnavailableError as error:
            details = self._transport.credentials.redact(error.details)
            raise _protobuf.ReflectionUnavailableError(error.code, details) from None
        except aio.UsageError as error:  # because the owner of the channel closed it
            raise _protobuf.ReflectionUnavailableError(
                grpc.StatusCode.CANCELLED, str(error)
            ) from error

    def _fail(self, error: Exception) -> None:
        """Records why a lookup failed, and sets the time of the next lookup."""
        reason = self._transport.credentials.redact(str(error) or repr(error))
        logger.debug("could not fetch the gateway's own descriptors: %s", reason)
        timed_out = (
            isinstance(error, _protobuf.ReflectionUnavailableError)
            and error.code is grpc.StatusCode.DEADLINE_EXCEEDED
        )
        unsupported = isinstance(error, _protobuf.ReflectionUnsupportedError)
        if unsupported:
            self.wire = self._packaged
        # Known until the next connection, because a gateway without reflection stays so, and
        # waiting again for one that does not answer would delay every call.
        if unsupported or timed_out:
            self.expires_at = time.monotonic() + LIFETIME
        else:
            self._retry.failed()
        # No traceback, because its frames would keep grpc's call alive, and so the channel.
        error.__context__ = error.__cause__ = None
        self.failure = error.with_traceback(None)
        self.wire = self.wire.because(f"could not fetch the gateway's own descriptors: {reason}")


def _is_away(error: ReflectionUnavailableError, lease: Lease) -> bool:
    """Returns whether a lookup failed because the gateway is not reachable, or not yet."""
    codes = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)
    return error.code in codes and not is_connected(lease.channel)
