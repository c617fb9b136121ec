"""Event streams that reconnect: each reads one gateway stream after the other into one buffer.

This is the only reconnect loop of the client. The reader task owns the gRPC call. The task belongs
to the transport, which cancels and awaits it on close. Consumers only touch the buffer, so
cancelling a consumer loses nothing. A full buffer stops the reading, which pauses the gateway by
HTTP/2 flow control.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import grpc

from virtufin.api.client._backoff import delays
from virtufin.api.client._error_mapping import copy_error, wrap_error
from virtufin.api.client._settings import ReconnectSettings, SubscriptionSettings
from virtufin.api.client._transport import Stream
from virtufin.api.client._types import NOT_GIVEN
from virtufin.api.client._wire import Rpc
from virtufin.api.client.errors import (
    ApiKeyError,
    ClientClosedError,
    StreamFailedError,
    StreamInterruptedError,
    UnauthenticatedError,
    VirtufinError,
)
from virtufin.api.client.events import PubsubEvent

from .buffer import Buffer
from .state import (
    ENDED,
    UNDECIDED,
    AssumeLiveTimer,
    Lifecycle,
    SubscriptionState,
    SubscriptionStats,
)
from .stream_reader import HandoverReader

logger = logging.getLogger("virtufin.api.client.subscription")

TRANSIENT = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)
"""Status codes after which a subscription reconnects. It also reconnects after a clean end."""

FATAL = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
"""Status codes that end a subscription, because trying again would not change the answer."""

Item = PubsubEvent | VirtufinError


class EventStream:
    """The events of some topics, read from one gateway stream after the other."""

    def __init__(
        self,
        rpc: Rpc,
        topics: tuple[str, ...],
        *,
        reconnect: ReconnectSettings,
        settings: SubscriptionSettings,
        on_start: Callable[[EventStream], None],
        on_end: Callable[[EventStream], None],
    ) -> None:
        self._rpc = rpc
        self._transport = rpc.transport
        self.topics = topics
        self._reconnect = reconnect
        self._settings = settings
        self._on_start = on_start
        self._on_end = on_end
        self._buffer: Buffer[Item] = Buffer(
            settings.max_buffered_events, settings.max_buffered_bytes
        )
        self._task: asyncio.Task[None] | None = None
        # Registered, because a stream without a task would not notice that the client closes.
        self._transport.unused.add(self)
        self.life = Lifecycle()
        self.confirmed = False
        self._failure: VirtufinError | None = None
        self._live_since: float | None = None
        self._key_retried = False
        self._received = 0
        self._interruptions = 0
        self._attempts = 0
        self._handovers = 0
        self._reader = HandoverReader(
            self._deliver,
            self._open,
            idle_limit=settings.idle_limit,
            ready_wait=settings.ready_wait,
            is_paused=lambda: self._buffer.paused,
            on_headers=lambda: self._set_live(confirmed=True),
            on_handover=self._on_handover,
        )

    # State

    @property
    def state(self) -> SubscriptionState:
        """Returns the current state."""
        return self.life.state

    @property
    def failure(self) -> VirtufinError | None:
        """Returns a copy of the error that ended the stream; None if the stream has not failed."""
        # A copy, because each raise adds to the traceback of an error.
        return None if self._failure is None else copy_error(self._failure)

    @property
    def stats(self) -> SubscriptionStats:
        """Returns the current counters."""
        return SubscriptionStats(
            received=self._received,
            delivered=self._received - self._buffer.count(PubsubEvent),
            buffered=len(self._buffer),
            interruptions=self._interruptions,
            attempts=self._attempts,
            handovers=self._handovers,
        )

    @property
    def name(self) -> str | None:
        """Returns the topics as one text for error messages; None if there are no topics."""
        return ", ".join(self.topics) or None

    @property
    def ready_wait(self) -> float:
        """Returns the default number of seconds to wait until the stream is live."""
        return self._settings.ready_wait

    def check_loop(self) -> None:
        """Raises WrongLoopError if another event loop than the client's is running."""
        self._transport.check_loop()

    def carries(self, topic: str) -> bool:
        """Returns whether this stream delivers events of a topic."""
        # True without topics, because such a subscription gets every topic.
        return not self.topics or topic in self.topics

    def start(self) -> None:
        """Starts the reader task, which connects; does nothing the second time.

        Raises:
            ClientClosedError: The client was closed.
            WrongLoopError: The client belongs to another loop.
        """
        self._transport.check_loop()
        if self._task is not None or self.state.ended:
            return
        self._transport.check()
        self._transport.unused.discard(self)
        self.life.move(SubscriptionState.CONNECTING)
        self._on_start(self)
        task_name = f"virtufin-subscription {self.name or 'all topics'}"
        self._task = self._transport.spawn(self._run(), task_name)
        # A callback, because a task that is cancelled before its first step runs no `finally`.
        self._task.add_done_callback(lambda _: self._end(None))

    async def wait_live(self, timeout: float | None) -> bool:
        """Waits until the stream is live.

        Args:
            timeout: Seconds; None means no limit.

        Returns:
            True if the gateway has confirmed the stream. False if the stream is only assumed to be
            live, or if the timeout ended first.

        Raises:
            VirtufinError: The stream has failed.
        """
        self._transport.check_loop()
        await self.life.leaves(UNDECIDED, timeout)
        if self._failure is not None:
            raise copy_error(self._failure)
        return self.confirmed

    def next(self) -> Coroutine[Any, Any, Item]:
        """Returns a coroutine that waits for the next event or interruption, in order.

        Raises:
            Ended: The stream was closed.
            VirtufinError: The stream has failed.
        """
        return self._buffer.get()

    def stop(self) -> None:
        """Ends the stream; events received before remain in the buffer.

        Raises:
            WrongLoopError: The client belongs to another loop.
        """
        self._transport.check_loop()
        if self._task is None:
            self._end(None)
        else:
            self._task.cancel()

    async def wait_ended(self, timeout: float | None = None) -> None:
        """Waits for the end of the stream, and logs a stream that takes longer than `timeout`.

        Args:
            timeout: Seconds; None means no limit.
        """
        self._transport.check_loop()
        if not await self.life.leaves(frozenset(SubscriptionState) - ENDED, timeout):
            logger.warning("a subscription did not end within %.0f s", timeout)

    # The reader

    async def _run(self) -> None:
        try:
            await self._keep_reading()
        except ClientClosedError as error:
            # A failure unless the client itself was closed, because otherwise the owner of a
            # borrowed channel closed that channel.
            self._end(None if self._transport.closed else self._failure_of(error))
        except VirtufinError as error:
            self._end(error)
        except Exception as error:  # noqa: BLE001 - such as of an interceptor or `should_reconnect`
            # Reported as a failure, because consumers would wait for ever otherwise.
            failure = StreamFailedError(f"the subscription broke: {error!r}")
            failure.__cause__ = error
            self._end(failure)

    async def _keep_reading(self) -> None:
        waits = self._delays()
        attempt = 0
        while True:
            attempt += 1
            received = self._received
            error = await self._read_one_stream(attempt)
            if not self._should_reconnect(error):
                raise self._failure_of(error)
            # The backoff starts over only after an event or a stable time, because a gateway that
            # accepts and ends streams at once would otherwise be called without growing pauses.
            if self._received > received or self._was_stable():
                waits, attempt = self._delays(), 0
            wait = next(waits)
            # Once, because several failed attempts to reconnect belong to the same gap.
            if self.state is SubscriptionState.LIVE or not self._interruptions:
                self._report(error, wait)
            self._live_since = None
            self.confirmed = False
            if self.state is SubscriptionState.LIVE:
                self.life.move(SubscriptionState.RECONNECTING)
            await asyncio.sleep(wait)

    async def _read_one_stream(self, attempt: int) -> VirtufinError | None:
        """Reads a gateway stream, and the streams that replace it while it is idle, to the end.

        Returns:
            The error that ended the last stream; None for a clean end.
        """
        try:
            stream = await self._open(attempt)
        except ClientClosedError:
            # Not returned, because a closed client must not reconnect.
            raise
        except VirtufinError as error:
            return error
        presume = self._presume_later(stream)
        try:
            ended = await self._reader.read(stream)
        finally:
            presume.cancel()
        self._rpc.stream_ended()
        return ended

    async def _open(self, attempt: int = 1) -> Stream:
        self._attempts += 1
        fields = {"topics": self.topics}
        budget = self._rpc.budget(NOT_GIVEN)
        return await self._rpc.stream(
            "Pubsub.Subscribe", fields, budget, topic=self.name, attempt=attempt
        )

    def _deliver(self, message: Any, size: int) -> Awaitable[None] | None:
        # Live at the latest now, because some gateways send headers only with the first event.
        if not self.confirmed:
            self._set_live(confirmed=True)
        self._received += 1
        self._buffer.append(PubsubEvent(message.topic, message.cloudevent), size)
        return self._buffer.room()

    def _on_handover(self, confirmed: bool) -> None:
        self._handovers += 1
        if confirmed:
            self._set_live(confirmed=True)
        else:
            self.confirmed = False

    def _presume_later(self, stream: Stream) -> AssumeLiveTimer:
        return AssumeLiveTimer(
            self._settings.ready_wait,
            lambda: stream.connected,
            lambda: None if self.confirmed else self._set_live(confirmed=False),
        )

    def _set_live(self, *, confirmed: bool) -> None:
        self.confirmed = confirmed
        if self._live_since is None:
            self._live_since = time.monotonic()
        self._key_retried = False
        self.life.move(SubscriptionState.LIVE)

    def _was_stable(self) -> bool:
        since = self._live_since
        return since is not None and time.monotonic() - since >= self._reconnect.stable_after

    def _delays(self) -> Any:
        settings = self._reconnect
        return delays(
            settings.initial_backoff, settings.max_backoff, settings.multiplier, settings.jitter
        )

    def _should_reconnect(self, error: VirtufinError | None) -> bool:
        if self._reconnect.should_reconnect is not None:
            return bool(self._reconnect.should_reconnect(error))
        if error is None:
            return True
        # Transient, because a function that failed may return a key the next time.
        if isinstance(error, ApiKeyError):
            return True
        # One retry, because the next attempt fetches the key again, which may be a new one.
        if isinstance(error, UnauthenticatedError) and self._transport.credentials.rotates:
            first, self._key_retried = not self._key_retried, True
            return first
        return isinstance(error, grpc.RpcError) and error.code() in TRANSIENT

    def _report(self, error: VirtufinError | None, wait: float) -> None:
        """Appends an interruption to the buffer, between the events before and after the gap."""
        self._interruptions += 1
        reason = error.message if error is not None else "the gateway ended the stream"
        lost = ""
        # Reported, because an event above the size limit ends the stream with this status.
        if error is not None and error.status == grpc.StatusCode.RESOURCE_EXHAUSTED.name:
            lost = " An event above max_message_bytes is lost, if that was the cause."
        report = wrap_error(
            StreamInterruptedError,
            f"subscription interrupted: {reason}. Trying again in {wait:.1f} s; "
            f"events published in the meantime may be missing.{lost}",
            error,
            topic=self.name,
            retry_in=wait,
        )
        logger.warning("%s", report)
        self._buffer.append(report, 0)

    def _failure_of(self, error: VirtufinError | None) -> VirtufinError:
        reason = error.message if error is not None else "the gateway ended the stream"
        return wrap_error(
            StreamFailedError,
            f"subscription failed: {reason}",
            error,
            topic=self.name,
        )

    def _end(self, failure: VirtufinError | None) -> None:
        if self.state.ended:
            return
        self._failure = failure
        self.confirmed = False
        if failure is None:
            self._buffer.finish()
        else:
            logger.error("%s", failure)
            self._buffer.finish(lambda: copy_error(failure))
        self.life.move(SubscriptionState.FAILED if failure else SubscriptionState.CLOSED)
        self._on_end(self)
