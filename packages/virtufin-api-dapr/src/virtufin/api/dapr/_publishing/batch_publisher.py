"""A publisher that gathers events in batches and sends each batch in one call."""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc

from virtufin.api.client._deadlines import Budget
from virtufin.api.client._error_mapping import from_status
from virtufin.api.client._event_attributes import ExtensionValue
from virtufin.api.client._event_template import EventTemplates
from virtufin.api.client._settings import CLOSE_WAIT
from virtufin.api.client._transport import Transport
from virtufin.api.client._types import NOT_GIVEN, NotGiven, Timeout
from virtufin.api.client._validation import require_name
from virtufin.api.client.errors import ClientClosedError, FailedPreconditionError, VirtufinError
from virtufin.api.dapr._sidecar import JsonTemplate

from .batch_delivery import Delivery, Pending
from .batch_settings import BatchSettings
from .capacity import Capacity
from .encoding import YIELD_EVERY, encode
from .failure_reports import Reports
from .receipt import Receipt
from .results import FailedEvent, make_publish_failed_error
from .sender import Sender

logger = logging.getLogger("virtufin.api.dapr.publisher")


@dataclass(frozen=True)
class BatchStats:
    """Counters of a batch publisher since its creation.

    `queued + in_flight + published + failed` is the number of events that `publish_async` has
    queued.

    Example:
        >>> from virtufin.api.dapr import DaprPublisher
        >>> async def lag(publisher: DaprPublisher) -> int:
        ...     async with publisher.batching() as batch:
        ...         await batch.publish_async("prices", 1.5)
        ...         return batch.stats.queued + batch.stats.in_flight
    """

    queued: int
    """Number of events that wait to be sent."""
    in_flight: int
    """Number of events that were sent, or wait to be sent again, without an outcome yet."""
    published: int
    """Number of events that the sidecar has accepted."""
    failed: int
    """Number of events that have failed."""
    batches: int
    """Number of batches that sending has begun for. Further attempts do not count."""


class BatchState(enum.Enum):
    """The state of a batch publisher."""

    OPEN = "open"
    """Events can be queued."""
    CLOSING = "closing"
    """The queued events are being sent. New events are refused."""
    CLOSED = "closed"
    """Every event is accepted or reported as failed."""


class BatchPublisher:
    """Gathers events in batches and publishes each batch in one call, for high rates of events.

    `DaprPublisher.batching()` returns instances of this class; the texts name an instance "batch".
    Every event that `publish_async` has queued is either accepted by the sidecar or reported as
    failed:

    - The receipt, which `publish_async` returns, raises the failure when it is awaited.
    - `on_failed` is called with the failure. Without `on_failed`, the next `flush()` or `close()`
      raises `PublishFailedError`.

    The end of an `async with` block calls `close()`, which sends the remaining events. If the block
    ends with an exception, failures are logged instead of raised.
    """

    def __init__(
        self,
        transport: Transport,
        sender: Sender,
        templates: EventTemplates[JsonTemplate],
        settings: BatchSettings,
        siblings: set[BatchPublisher],
    ) -> None:
        self._transport = transport
        self._templates = templates
        self._settings = settings
        self._siblings = siblings
        self._reports = Reports(settings.on_failed)
        self._capacity = Capacity(settings.max_pending_events, settings.max_pending_bytes)
        self._delivery = Delivery(transport, sender, self._capacity, self._reports, settings)
        self._state = BatchState.OPEN
        self._ended = asyncio.Event()
        self._given = 0

    @property
    def stats(self) -> BatchStats:
        """The current counters of this batch."""
        delivery = self._delivery
        return BatchStats(
            queued=delivery.queued,
            in_flight=delivery.in_flight,
            published=delivery.published,
            failed=delivery.failed,
            batches=delivery.batches,
        )

    async def publish_async(
        self,
        topic: str,
        data: Any,
        metadata: Mapping[str, str] | None = None,
        *,
        type: str | None = None,  # noqa: A002 - the CloudEvents name
        source: str | None = None,
        subject: str | None = None,
        content_type: str | None = None,
        extensions: Mapping[str, ExtensionValue] | None = None,
        correlation_id: str | None = None,
        reply_topic: str | None = None,
        timeout: Timeout = NOT_GIVEN,
    ) -> Receipt:
        """Queues one event and returns; does not wait for the sidecar.

        If the pending events have reached `max_pending_events` or `max_pending_bytes`, the call
        first waits for capacity. Waiting calls are served in the order in which they came. A
        waiting call that is cancelled queues nothing. A queued event is published even if the
        caller is cancelled afterwards.

        Args:
            topic: The topic to publish to.
            data: The payload: text, bytes, a value that JSON can hold, or a ready CloudEvent
                message.
            metadata: Attributes as text: `ce-*` keys, and extensions by their name.
            type: Event type: the kind of thing that happened.
            source: Event source: the system that the event comes from.
            subject: Subject of the event within its source.
            content_type: Media type of the data. If omitted, it follows from the type of `data`.
            extensions: Typed extension attributes.
            correlation_id: Value of the extension `correlationid`.
            reply_topic: Value of the extension `replytopic`.
            timeout: Seconds from now until the sidecar must have accepted the event, including the
                wait for capacity. If omitted, the batch's; None means no deadline.

        Returns:
            The receipt of this event: an awaitable that gives the outcome. Awaiting is optional.

        Raises:
            InvalidInputError: An argument is invalid. Nothing was queued.
            DeadlineExceededError: No capacity was free in time. Nothing was queued.
            ClientClosedError: The batch or its publisher is closed. Nothing was queued.
            PublishFailedError: There is no `on_failed`, and the failures since the last `flush()`
                have reached `max_pending_events` or `max_pending_bytes`. The error lists them.
                Nothing was queued.
            FailedPreconditionError: `on_failed` of this batch called this method.
        """
        settings = self._settings
        self._require_open()
        # The same limits hold for failures, because they are kept in memory until they are raised.
        if self._reports.is_over_limit(settings.max_pending_events, settings.max_pending_bytes):
            self._raise_failures()
        # Without a check for the batch's own timeout, which was checked when the batch was made.
        if isinstance(timeout, NotGiven):
            budget = Budget(settings.timeout)
        else:
            budget = self._transport.budget(timeout)
        require_name(topic, "topic")
        # Yields, because queuing small events suspends nowhere else, so that a caller's `for` loop
        # would block the event loop.
        if self._given % YIELD_EVERY == 0:
            await asyncio.sleep(0)
        template = self._templates.get(
            metadata,
            type=type,
            source=source,
            subject=subject,
            content_type=content_type,
            extensions=extensions,
            correlation_id=correlation_id,
            reply_topic=reply_topic,
        )
        event = await encode(template, data)
        pending = Pending(topic, event, self._given, budget, Receipt())
        if not self._capacity.try_acquire(pending.size):
            self._delivery.flush_for_capacity()
            if not await self._capacity.acquire(pending.size, budget.left()):
                raise self._make_no_capacity_error(topic, budget)
        # No await from here on, because a cancellation would lose an event that has capacity. The
        # index is set again, because other events may have been queued during the wait.
        pending.index = self._given
        self._given += 1
        self._delivery.put(pending)
        return pending.receipt

    async def flush(self) -> None:
        """Sends the queued events at once and waits until the outcome of each is known.

        Events that are queued during the wait are not waited for. The wait has no time limit of its
        own; it ends because events fail at their deadlines. Cancelling this method ends only the
        wait: sending goes on.

        Raises:
            PublishFailedError: There is no `on_failed`, and events have failed that no earlier
                `PublishFailedError` has listed. The error lists them.
            ClientClosedError: The batch or its publisher is closed.
            FailedPreconditionError: `on_failed` of this batch called this method.
        """
        self._require_open()
        await self._delivery.drain(None)
        self._raise_failures()

    async def close(self) -> None:
        """Sends the queued events, waits for their outcome, and closes the batch. Idempotent.

        The publisher stays open. Calls of `publish_async` that wait for capacity raise
        `ClientClosedError`. An event fails if its outcome is unknown when the batch's `timeout`
        ends. If this method is cancelled, the batch is closed at once, its events fail, and their
        number is logged.

        Raises:
            PublishFailedError: There is no `on_failed`, and events have failed that no earlier
                `PublishFailedError` has listed. The error lists them.
            WrongLoopError: The batch belongs to another event loop.
            FailedPreconditionError: `on_failed` of this batch called this method.
        """
        await self.finish()
        self._raise_failures()

    # For the publisher, because it closes its batches without raising their failures one by one.

    async def finish(self, most: float | None = None) -> None:
        """Closes the batch as `close()` does, but leaves its failures to `take_kept`.

        Args:
            most: Additional limit in seconds. Closing takes no longer than this, and no longer than
                the batch's `timeout`. None means no additional limit.

        Raises:
            WrongLoopError: The batch belongs to another event loop.
            FailedPreconditionError: `on_failed` of this batch called this method.
        """
        self.refuse_from_on_failed()
        self._transport.check_loop()
        if self._state is not BatchState.OPEN:
            await self._ended.wait()
            return
        self._state = BatchState.CLOSING
        self._capacity.close(_make_closed_error)
        bounds = [bound for bound in (self._settings.timeout, most) if bound is not None]
        bound = min(bounds) if bounds else None
        try:
            if not await self._delivery.drain(bound):
                await self._abandon(f"{bound:.3g} s were not enough to close the batch")
        except asyncio.CancelledError:
            # Logged, because a cancelled `close` cannot raise the failures any more.
            self._delivery.abandon(ClientClosedError("closing the batch was cancelled"))
            self.log_kept("closing a batch was cancelled")
            raise
        finally:
            self._siblings.discard(self)
            self._state = BatchState.CLOSED
            self._ended.set()

    def take_kept(self) -> list[FailedEvent]:
        """Removes the retained failures from this batch and returns them.

        Failures are retained if there is no `on_failed`, or if closing did not leave the time to
        call it.
        """
        return self._reports.pop_all()

    def log_kept(self, why: str) -> None:
        """Removes the retained failures and logs their number and the first of them.

        Args:
            why: Beginning of the log line: the reason why the failures are not raised.
        """
        kept = self._reports.pop_all()
        if kept:
            first = kept[0]
            logger.error(
                "%s; events not published: %d, the first is %s of topic %s: %s",
                why,
                len(kept),
                first.event.id,
                first.topic,
                first.error,
            )

    # Parts

    def _require_open(self) -> None:
        """Verifies that the batch is open and may be used by the running task.

        Raises:
            ClientClosedError: The batch or its publisher is closed.
            WrongLoopError: The batch belongs to another event loop.
            FailedPreconditionError: The caller is `on_failed` of this batch.
        """
        self.refuse_from_on_failed()
        self._transport.check()
        if self._state is not BatchState.OPEN:
            raise _make_closed_error()
        # Registered at each use, because the publisher must close every batch that may hold events.
        self._siblings.add(self)

    def refuse_from_on_failed(self) -> None:
        """Verifies that the caller is not `on_failed` of this batch.

        The batch waits for `on_failed`, so `on_failed` would wait for itself.

        Raises:
            FailedPreconditionError: The caller is `on_failed` of this batch.
        """
        if self._reports.owns_running_task():
            raise FailedPreconditionError(
                "on_failed must not wait for the batch that waits for it; use the publisher itself"
            )

    def _raise_failures(self) -> None:
        kept = self._reports.pop_all()
        if kept:
            raise make_publish_failed_error(kept, self._delivery.published)

    async def _abandon(self, why: str) -> None:
        error = from_status(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            f"{why}; the sidecar has not accepted the event",
            details=why,
            peer=self._transport.peer,
        )
        await self._transport.see_end(self._delivery.abandon(error))
        # In a task with a bounded wait, because `on_failed` of the user may never return.
        reporting = self._transport.spawn(
            self._reports.report_retained(), "virtufin-publish-failed"
        )
        try:
            await asyncio.wait((reporting,), timeout=CLOSE_WAIT)
        finally:
            reporting.cancel()

    def _make_no_capacity_error(self, topic: str, budget: Budget) -> VirtufinError:
        text = f"the batch had no room for the event within {budget.total or 0.0:.3g} s"
        return from_status(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            f"{text}; the sidecar does not keep up",
            details=text,
            peer=self._transport.peer,
            topic=topic,
        )

    async def __aenter__(self) -> BatchPublisher:
        self._require_open()
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None:
            await self.close()
            return
        # Bounded after a cancellation, because the code that cancels a task expects the task to end
        # soon. Failures are logged, because raising them would replace the exception of the block.
        await self.finish(CLOSE_WAIT if isinstance(error, asyncio.CancelledError) else None)
        self.log_kept(f"the batch was left by {type(error).__name__}")

    def __del__(self) -> None:
        # Logged, because no code can await the events of a batch that was dropped without `close`.
        lost = self._delivery.queued + self._delivery.in_flight
        if lost:
            logger.error("a batch was never closed; events not published: %d", lost)
        self.log_kept("a batch was never closed")

    def __repr__(self) -> str:
        closed = ", closed" if self._state is not BatchState.OPEN else ""
        stats = self.stats
        return (
            f"<BatchPublisher at {self._transport.peer}, {stats.queued} queued, "
            f"{stats.in_flight} in flight, {stats.published} published, "
            f"{stats.failed} failed{closed}>"
        )


def _make_closed_error() -> ClientClosedError:
    return ClientClosedError("the batch is closed; make a new one with publisher.batching()")
