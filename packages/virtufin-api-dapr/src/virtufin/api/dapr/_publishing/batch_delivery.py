"""The sending of the events of a batch publisher, with repeated attempts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from virtufin.api.client._backoff import delays
from virtufin.api.client._deadlines import Budget
from virtufin.api.client._transport import Transport
from virtufin.api.client.errors import (
    ClientClosedError,
    DeadlineExceededError,
    InternalError,
    UnavailableError,
    VirtufinError,
)

from .batch_settings import BatchSettings
from .capacity import Capacity
from .encoding import Encoded
from .failure_reports import Reports
from .receipt import Receipt
from .results import FailedEvent
from .sender import Outgoing, Sender
from .topic_queue import TopicQueue

# Short delays, because a sidecar that restarts is back within seconds.
_FIRST_DELAY = 0.1
_LONGEST_DELAY = 2.0


class Pending(Outgoing):
    """An event that was queued and whose outcome is not known yet."""

    # Slots, because thousands of events may be pending.
    __slots__ = ("budget", "failure", "index", "origin", "receipt", "sending")

    def __init__(
        self, topic: str, event: Encoded, index: int, budget: Budget, receipt: Receipt
    ) -> None:
        super().__init__(topic, event.body)
        self.index = index
        self.origin = event.to_origin()
        self.budget = budget
        self.receipt = receipt
        self.failure: VirtufinError | None = None
        """The error of the last attempt; None before the first failure."""
        self.sending = False
        """True after the event has left the queue, also while it waits for another attempt."""


class Delivery:
    """Queues the events of a batch publisher, sends them, and settles each event once.

    An event is open from `put` until it is settled. Settling follows when the outcome is known:

    - The receipt of the event gets the outcome.
    - A failure is reported to `on_failed`, or retained.
    - The capacity that the event takes in the limiter is released, so that a waiting
      `publish_async` can go on.

    `in_flight`, `published`, `failed` and `batches` are the counters of `BatchStats`.

    Args:
        transport: Transport that runs the tasks for sending.
        sender: Sender that makes the calls to the sidecar.
        capacity: Limiter for the open events of the batch publisher.
        reports: Reports of failed events.
        settings: Settings of the batch publisher.
    """

    def __init__(
        self,
        transport: Transport,
        sender: Sender,
        capacity: Capacity,
        reports: Reports,
        settings: BatchSettings,
    ) -> None:
        self._transport = transport
        self._sender = sender
        self._capacity = capacity
        self._reports = reports
        self._max_in_flight = settings.max_in_flight
        self._queue: TopicQueue[Pending] = TopicQueue(
            max_events=1 if settings.keep_order else settings.max_events,
            max_bytes=settings.max_bytes,
            linger=settings.linger,
            one_at_a_time=settings.keep_order,
            due=self.dispatch,
        )
        self._open: dict[int, Pending] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._flushes: dict[asyncio.Future[None], set[int]] = {}
        self.in_flight = 0
        self.published = 0
        self.failed = 0
        self.batches = 0

    @property
    def queued(self) -> int:
        """Number of events that wait in the queue."""
        return len(self._open) - self.in_flight

    def put(self, event: Pending) -> None:
        """Queues an event and sends the batches that are due.

        Args:
            event: The event. The caller has acquired capacity for it, and this object releases that
                capacity.
        """
        self._open[event.index] = event
        self._queue.put(event)
        self.dispatch()

    def flush_for_capacity(self) -> None:
        """Sends queued events at once if no batch is due, so that their capacity becomes free."""
        if not self._queue.has_due:
            # Without lingering, because the events that would fill the batch wait for capacity.
            self._queue.flush()
        self.dispatch()

    def dispatch(self) -> None:
        """Starts to send the batches that are due, up to `max_in_flight` concurrent calls."""
        if not self._queue.has_due:
            if not self._capacity.has_waiters:
                return
            # Without lingering, because the events that would fill the batch wait for capacity.
            self._queue.flush()
        while len(self._tasks) < self._max_in_flight:
            batch = self._queue.take()
            if batch is None:
                return
            for event in batch:
                event.sending = True
            self.in_flight += len(batch)
            self.batches += 1
            task = self._transport.spawn(self._deliver(batch), "virtufin-publish-batch")
            self._tasks.add(task)
            task.add_done_callback(partial(self._on_task_end, batch))

    async def drain(self, timeout: float | None) -> bool:
        """Sends the queued events at once and waits until each open event is settled.

        Events that are queued during the wait do not prolong it.

        Args:
            timeout: Longest wait in seconds. None means no limit.

        Returns:
            False if the timeout has passed; sending goes on then.
        """
        self._queue.flush()
        self.dispatch()
        if not self._open:
            return True
        done = asyncio.get_running_loop().create_future()
        self._flushes[done] = set(self._open)
        try:
            # `wait`, because a timeout here must report False and not raise.
            await asyncio.wait((done,), timeout=timeout)
        finally:
            del self._flushes[done]
        return done.done()

    def abandon(self, error: VirtufinError) -> set[asyncio.Task[None]]:
        """Cancels sending and settles each open event as failed, without a call of `on_failed`.

        The failures are retained; see `Reports.pop_all`.

        Args:
            error: The error of events without a failed attempt. Other events get the error of their
                last attempt.

        Returns:
            The cancelled tasks. The caller awaits their end.
        """
        self._queue.clear()
        self._reports.ending = True
        for task in self._tasks:
            task.cancel()
        for event in tuple(self._open.values()):
            self._give_up(event, event.failure or error)
        return set(self._tasks)

    async def _deliver(self, batch: Sequence[Pending]) -> None:
        waits = delays(_FIRST_DELAY, _LONGEST_DELAY, 2.0, 0.5)
        left = await self._attempt(batch)
        while left:
            await asyncio.sleep(_limit_wait(next(waits), left))
            left = await self._attempt(left)

    async def _attempt(self, batch: Sequence[Pending]) -> list[Pending]:
        """Sends events once and settles those with an outcome; returns the events to send again."""
        in_time = []
        for event in batch:
            if event.failure is not None and event.budget.left() == 0.0:
                await self._fail(event, event.failure)
            else:
                in_time.append(event)
        if not in_time:
            return []
        errors = await self._sender.publish_bulk(in_time, _earliest_budget(in_time))
        outcomes = list(zip(in_time, errors, strict=True))
        self._settle_accepted([event for event, error in outcomes if error is None])
        again = []
        for event, error in outcomes:
            if error is None:
                continue
            if event.failure is None or not isinstance(error, DeadlineExceededError):
                # An earlier cause is kept, because it says more than that the deadline passed.
                event.failure = error
            # Only these two are sent again, because the other errors are answers of the sidecar.
            # Other events may have time left after a DeadlineExceededError, because the call had
            # the earliest deadline of its events.
            if isinstance(error, (UnavailableError, DeadlineExceededError)) and _seconds_left(
                event.budget
            ):
                again.append(event)
            else:
                await self._fail(event, event.failure)
        return again

    def _on_task_end(self, batch: Sequence[Pending], task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            # The whole delivery ends, because tasks are cancelled from outside only when the
            # transport closes or the event loop ends.
            self.abandon(ClientClosedError("sending was cancelled"))
            return
        if task.exception() is not None:
            error = InternalError(f"could not be sent: {task.exception()!r}")
            for event in batch:
                self._give_up(event, error)
        self._queue.mark_sent(batch[0].topic)
        self.dispatch()

    def _settle_accepted(self, events: Sequence[Pending]) -> None:
        # All at once, because most batches are accepted whole, and each event would cost several
        # calls.
        count = size = 0
        for event in events:
            if self._open.pop(event.index, None) is not None:
                count += 1
                size += event.size
                event.receipt.resolve(None)
        self.in_flight -= count
        self.published += count
        self._capacity.release(size, count)
        self._end_flushes(events)

    async def _fail(self, event: Pending, error: VirtufinError) -> None:
        if event.index not in self._open:
            return
        self._settle_failed(event, error)
        await self._reports.report(_make_failed_event(event, error), event.size)
        # After the report, because a flush must not end before `on_failed` has.
        self._forget(event)

    def _give_up(self, event: Pending, error: VirtufinError) -> None:
        if self._forget(event):
            self._settle_failed(event, error)
            self._reports.retain(
                _make_failed_event(event, event.receipt.error or error), event.size
            )

    def _settle_failed(self, event: Pending, error: VirtufinError) -> None:
        if not event.receipt.done:
            self.failed += 1
            event.receipt.resolve(error)

    def _forget(self, event: Pending) -> bool:
        """Removes an open event, releases its capacity, and ends each `drain` that it was last of.

        Returns:
            False if the event was not open any more; nothing is released then.
        """
        if self._open.pop(event.index, None) is None:
            return False
        if event.sending:
            self.in_flight -= 1
        self._capacity.release(event.size)
        self._end_flushes((event,))
        return True

    def _end_flushes(self, settled: Sequence[Pending]) -> None:
        """Ends each `drain` for which no event is left after these."""
        for done, waited_for in self._flushes.items():
            waited_for.difference_update([event.index for event in settled])
            if not waited_for and not done.done():
                done.set_result(None)


def _make_failed_event(event: Pending, error: VirtufinError) -> FailedEvent:
    return FailedEvent(event.index, event.topic, error, event.origin)


def _earliest_budget(events: Sequence[Pending]) -> Budget:
    """Returns the budget that ends first: events share a call, and none may overrun its own."""
    earliest = events[0].budget
    for event in events:
        end = event.budget.end
        if end is not None and (earliest.end is None or end < earliest.end):
            earliest = event.budget
    return earliest


def _seconds_left(budget: Budget) -> float:
    left = budget.left()
    return float("inf") if left is None else left


def _limit_wait(wait: float, events: Sequence[Pending]) -> float:
    return min(wait, *(_seconds_left(event.budget) for event in events))
