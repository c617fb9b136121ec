"""Fault plans in force in this process, and the streams that they affect.

A plan holds a call while it delays the call, and a stream while it applies to the stream. A plan
that is used up is over only when it holds nothing any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

from virtufin.api.emulator._backends import Subscription
from virtufin.api.emulator._status_errors import StatusError
from virtufin.api.emulator.faults import LocalPlan, Spec


class ActivePlan(LocalPlan):
    """A fault plan on calls or streams, in force in this process.

    Args:
        spec: Content of the plan.
        methods: Full names of the methods whose calls the plan applies to. Empty for a plan on
            streams.
    """

    def __init__(self, spec: Spec, methods: frozenset[str]) -> None:
        self.spec = spec
        self.lifted = False
        self.holds = 0
        """Number of waiting calls and of open streams that the plan applies to."""
        self._methods = methods
        self._used = 0
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def used(self) -> int:
        return self._used

    @property
    def used_up(self) -> bool:
        """True if the plan applies to no further calls or streams. It may still hold some."""
        return self.lifted or self._used == self.spec.times

    @property
    def over(self) -> bool:
        return self.lifted or (self.used_up and not self.holds)

    def lift(self) -> None:
        self.lifted = True
        for waiting in tuple(self._waiting):
            # Thread-safe, because a waiter may run in another thread. RuntimeError is ignored,
            # because it means that the waiter's loop has ended.
            with suppress(RuntimeError):
                waiting.get_loop().call_soon_threadsafe(_finish, waiting)

    def matches_call(self, method: str, topics: Collection[str] | None) -> bool:
        """Returns True if the plan applies to a call.

        Args:
            method: Full name of the method.
            topics: Topics of the call. Empty means all topics. None means that the call has no
                topic.
        """
        if self.used_up or method not in self._methods:
            return False
        if topics is None:
            return self.spec.topic is None
        return carries_topic(topics, self.spec.topic)

    def matches_stream(self, topics: Collection[str]) -> bool:
        """Returns True if the plan applies to a stream.

        Args:
            topics: Topics of the stream. Empty means all topics.
        """
        return not self.used_up and carries_topic(topics, self.spec.topic)

    def consume(self) -> None:
        """Counts one more call or stream as affected by the plan."""
        self._used += 1

    @contextmanager
    def wait_lifted(self) -> Iterator[asyncio.Future[None]]:
        """Yields a future that is done when the plan is lifted.

        The plan counts as holding something while the `with` block runs.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        # The plan may have been lifted before the future was there to be woken.
        if self.lifted:
            future.set_result(None)
        self.holds += 1
        try:
            yield future
        finally:
            self.holds -= 1
            self._waiting.discard(future)

    def make_error(self, default: str) -> StatusError:
        """Returns the error by which the plan ends a call or stream.

        Args:
            default: Text of the status if the plan has no details.
        """
        return StatusError(self.spec.status, self.spec.details or default)


class FaultyStream:
    """A stream that carries events to a subscriber, and the plans that apply to the stream.

    Args:
        subscription: Subscription of the stream. Ending it ends the stream.
    """

    def __init__(self, subscription: Subscription) -> None:
        self.topics = subscription.topics
        self.end = subscription.end
        self._subscription = subscription
        self._held: list[tuple[ActivePlan, int]] = []
        self._sent = 0

    def hold(self, plan: ActivePlan) -> None:
        """Applies a plan to the stream. The events sent so far do not count for its `after`."""
        plan.consume()
        plan.holds += 1
        # With the number of events sent so far, because `after` counts from this moment.
        self._held.append((plan, self._sent))

    def close(self) -> None:
        """Ends the effect of all plans on the stream. Call at the end of the stream."""
        for plan, _ in self._held:
            plan.holds -= 1

    @property
    def holds_headers(self) -> bool:
        """True if a plan currently holds back the response headers."""
        return bool(self._get_due("hold_headers"))

    @property
    def stalled(self) -> bool:
        """True if a plan currently holds back all events."""
        return bool(self._get_due("stall"))

    async def wait_for_headers(self) -> None:
        """Waits until no plan holds back the response headers."""
        # Checked again after each wait, because another plan may have been added in the meantime.
        while holding := self._get_due("hold_headers"):
            with holding[0].wait_lifted() as lifted:
                await lifted

    def cut_if_due(self) -> None:
        """Ends the stream if a plan cuts it after the number of events that were sent so far."""
        # Only the first plan counts, because the oldest plan wins.
        for plan in self._get_due("cut"):
            self.end(plan.make_error("stream cut by a fault plan"))
            return

    async def wait_before_write(self) -> None:
        """Waits while plans slow the stream down or stall it. Call before each event is sent.

        Raises:
            StatusError: A plan fails the sending of the event, or the stream was ended.
        """
        for plan in self._get_due("slow_writes"):
            with plan.wait_lifted() as lifted:
                await self._subscription.wait_for(lifted, plan.spec.seconds)
        while stalls := self._get_due("stall"):
            with stalls[0].wait_lifted() as lifted:
                await self._subscription.wait_for(lifted, None)
        for plan in self._get_due("fail_write"):
            raise plan.make_error("writing failed by a fault plan")

    def mark_written(self) -> None:
        """Counts an event as sent, and ends the stream if a plan cuts it after this event."""
        self._sent += 1
        self.cut_if_due()

    def _get_due(self, action: str) -> list[ActivePlan]:
        return [
            plan
            for plan, since in self._held
            if plan.spec.action == action
            and not plan.lifted
            and self._sent - since >= plan.spec.after
        ]


def carries_topic(topics: Collection[str], topic: str | None) -> bool:
    """Returns True if a stream carries a topic.

    Args:
        topics: Topics of the stream. Empty means all topics.
        topic: The topic. None means any topic.
    """
    return topic is None or not topics or topic in topics


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
