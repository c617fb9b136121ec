"""The settings of a batch, and its events under way: sent, sent again, and settled one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from virtufin.api.client._backoff import delays
from virtufin.api.client._deadlines import Budget
from virtufin.api.client._transport import Transport
from virtufin.api.client._validation import require_positive, require_whole, short_repr
from virtufin.api.client.errors import (
    ClientClosedError,
    DeadlineExceededError,
    InternalError,
    InvalidInputError,
    UnavailableError,
    VirtufinError,
)

from .capacity import Capacity
from .failure_reports import Reports
from .receipt import Receipt
from .results import FailedEvent, OnFailed
from .sender import Outgoing, Sender
from .topic_queue import TopicQueue

_MOST_EVENTS = 1000
_MOST_BYTES = 2**31 - 1
_MOST_PENDING = 2**63 - 1
_MOST_IN_FLIGHT = 256
_LONGEST_LINGER = 3600.0


@dataclass(frozen=True)
class BatchSettings:
    """The settings of a batch; see `DaprPublisher.batching`."""

    max_events: int
    max_bytes: int
    linger: float
    max_pending_events: int
    max_pending_bytes: int
    max_in_flight: int
    keep_order: bool
    on_failed: OnFailed | None
    timeout: float | None

    def __post_init__(self) -> None:
        require_whole("max_events", self.max_events, 1, _MOST_EVENTS)
        require_whole("max_bytes", self.max_bytes, 1, _MOST_BYTES)
        require_whole("max_pending_events", self.max_pending_events, 1, _MOST_PENDING)
        require_whole("max_pending_bytes", self.max_pending_bytes, 1, _MOST_PENDING)
        require_whole("max_in_flight", self.max_in_flight, 1, _MOST_IN_FLIGHT)
        if self.linger != 0:
            require_positive("linger", self.linger, _LONGEST_LINGER)
        if not isinstance(self.keep_order, bool):
            raise InvalidInputError(f"keep_order must be a bool, not {short_repr(self.keep_order)}")
        if self.on_failed is not None and not callable(self.on_failed):
            raise InvalidInputError(
                f"on_failed must be a function, not {short_repr(self.on_failed)}"
            )


# A sidecar that restarts is back within seconds.
_FIRST_DELAY = 0.1
_LONGEST_DELAY = 2.0


@dataclass(eq=False)
class Pending(Outgoing):
    """One event from its being queued to its being settled."""

    __slots__ = ("budget", "event", "failure", "index", "receipt", "sending")

    index: int
    event: bytes
    budget: Budget
    receipt: Receipt

    def __post_init__(self) -> None:
        self.failure: VirtufinError | None = None
        """Why it was not accepted so far."""
        self.sending = False


class Delivery:
    """Sends what is put in; everything that was put in is settled once, and then forgotten.

    Settled means: its receipt knows the outcome, a failure is reported, and its room is given back.
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
        """Events that wait to be sent."""
        return len(self._open) - self.in_flight

    def put(self, event: Pending) -> None:
        """Queues an event, for which there must be room."""
        self._open[event.index] = event
        self._queue.put(event)
        self.dispatch()

    def make_room(self) -> None:
        """Does what can be done for those who wait for room."""
        if not self._queue.has_due:
            # Waiting for more events would be waiting for those.
            self._queue.hurry()
        self.dispatch()

    def dispatch(self) -> None:
        """Sends what is due, as far as enough calls are free."""
        if self._capacity.has_waiters and not self._queue.has_due:
            self._queue.hurry()
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
            task.add_done_callback(partial(self._ended, batch))

    def runs_here(self) -> bool:
        """Whether the running task is one that delivers, or tells of a failure."""
        return asyncio.current_task() in self._tasks or self._reports.runs_here()

    async def drained(self, timeout: float | None) -> bool:
        """Sends what is there now at once; whether all of it was settled within the time."""
        self._queue.hurry()
        self.dispatch()
        if not self._open:
            return True
        done = asyncio.get_running_loop().create_future()
        self._flushes[done] = set(self._open)
        try:
            await asyncio.wait((done,), timeout=timeout)
        finally:
            del self._flushes[done]
        return done.done()

    def abandon(self, error: VirtufinError) -> set[asyncio.Task[None]]:
        """Fails all that is left, kept for whom it concerns; returns tasks that are ending."""
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
            await asyncio.sleep(_at_most(next(waits), left))
            left = await self._attempt(left)

    async def _attempt(self, batch: Sequence[Pending]) -> list[Pending]:
        """Sends events once; returns those that are to be sent again."""
        in_time = []
        for event in batch:
            if event.failure is not None and event.budget.left() == 0.0:
                await self._fail(event, event.failure)
            else:
                in_time.append(event)
        if not in_time:
            return []
        # The first deadline of all counts, so that none is overrun.
        budget = min((event.budget for event in in_time), key=_left)
        again = []
        for event, error in zip(in_time, await self._sender.several(in_time, budget), strict=True):
            if error is None:
                self._accepted(event)
                continue
            if event.failure is None or not isinstance(error, DeadlineExceededError):
                # That time was up in the end says less than what took it.
                event.failure = error
            if isinstance(error, (UnavailableError, DeadlineExceededError)) and _left(event.budget):
                again.append(event)
            else:
                await self._fail(event, event.failure)
        return again

    def _ended(self, batch: Sequence[Pending], task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            # Whoever cancels tasks is about to end the loop.
            self.abandon(ClientClosedError("sending was cancelled"))
            return
        if task.exception() is not None:
            error = InternalError(f"could not be sent: {task.exception()!r}")
            for event in batch:
                self._give_up(event, error)
        self._queue.sent(batch[0].topic)
        self.dispatch()

    def _accepted(self, event: Pending) -> None:
        if self._forget(event):
            self.published += 1
            event.receipt.settle(None)

    async def _fail(self, event: Pending, error: VirtufinError) -> None:
        if event.index not in self._open:
            return
        self._settle_failed(event, error)
        await self._reports.tell(_failed(event, error), event.size)
        self._forget(event)

    def _give_up(self, event: Pending, error: VirtufinError) -> None:
        if self._forget(event):
            self._settle_failed(event, error)
            self._reports.keep(_failed(event, event.receipt.error or error), event.size)

    def _settle_failed(self, event: Pending, error: VirtufinError) -> None:
        if not event.receipt.done:
            self.failed += 1
            event.receipt.settle(error)

    def _forget(self, event: Pending) -> bool:
        """Ends an event; False where it was ended before."""
        if self._open.pop(event.index, None) is None:
            return False
        if event.sending:
            self.in_flight -= 1
        self._capacity.release(event.size)
        for done, waited_for in self._flushes.items():
            waited_for.discard(event.index)
            if not waited_for and not done.done():
                done.set_result(None)
        return True


def _failed(event: Pending, error: VirtufinError) -> FailedEvent:
    return FailedEvent(event.index, event.topic, error, event.event)


def _left(budget: Budget) -> float:
    left = budget.left()
    return float("inf") if left is None else left


def _at_most(wait: float, events: Sequence[Pending]) -> float:
    return min(wait, *(_left(event.budget) for event in events))
