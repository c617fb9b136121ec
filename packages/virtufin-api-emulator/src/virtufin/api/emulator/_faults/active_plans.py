"""A fault plan in force in this process, and the streams that plans have taken hold of."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

from virtufin.api.emulator._backends import Subscription
from virtufin.api.emulator._status_errors import RefusedError
from virtufin.api.emulator.faults import LocalPlan, Spec


class ActivePlan(LocalPlan):
    """A plan in force here."""

    def __init__(self, spec: Spec, methods: frozenset[str]) -> None:
        self.spec = spec
        self.lifted = False
        self.holds = 0
        self._methods = methods
        self._used = 0
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def used(self) -> int:
        return self._used

    @property
    def used_up(self) -> bool:
        """Whether it takes hold of nothing more."""
        return self.lifted or self._used == self.spec.times

    @property
    def over(self) -> bool:
        return self.lifted or (self.used_up and not self.holds)

    def lift(self) -> None:
        self.lifted = True
        for waiting in tuple(self._waiting):
            # Whoever waits may do so in another thread, or in a loop that has ended.
            with suppress(RuntimeError):
                waiting.get_loop().call_soon_threadsafe(_finish, waiting)

    def meets(self, method: str, topics: Collection[str] | None) -> bool:
        """Whether a call falls under it.

        Args:
            method: Full name.
            topics: What the call is about, empty for all topics; None where it is about none.
        """
        if self.used_up or method not in self._methods:
            return False
        if topics is None:
            return self.spec.topic is None
        return carries_topic(topics, self.spec.topic)

    def carries(self, topics: Collection[str]) -> bool:
        """Whether a stream of these topics falls under it."""
        return not self.used_up and carries_topic(topics, self.spec.topic)

    def use(self) -> None:
        """Takes hold of one more."""
        self._used += 1

    @contextmanager
    def lifting(self) -> Iterator[asyncio.Future[None]]:
        """A future that is done when the plan is lifted."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        if self.lifted:
            future.set_result(None)
        self.holds += 1
        try:
            yield future
        finally:
            self.holds -= 1
            self._waiting.discard(future)

    def refusal(self, default: str) -> RefusedError:
        """What ends a call or stream."""
        return RefusedError(self.spec.status, self.spec.details or default)


class FaultyStream:
    """One subscribing stream, with the plans that have taken hold of it."""

    def __init__(self, subscription: Subscription) -> None:
        self.topics = subscription.topics
        self.end = subscription.end
        self._subscription = subscription
        self._held: list[tuple[ActivePlan, int]] = []
        self._sent = 0

    def hold(self, plan: ActivePlan) -> None:
        """Comes under a plan."""
        plan.use()
        plan.holds += 1
        self._held.append((plan, self._sent))

    def close(self) -> None:
        """Is gone, whatever plans there are."""
        for plan, _ in self._held:
            plan.holds -= 1

    @property
    def holds_headers(self) -> bool:
        """Whether a plan holds the response headers back."""
        return bool(self._due("hold_headers"))

    @property
    def stalled(self) -> bool:
        """Whether a plan lets nothing through for now."""
        return bool(self._due("stall"))

    async def headers_released(self) -> None:
        """Waits until no plan holds the response headers back."""
        while holding := self._due("hold_headers"):
            with holding[0].lifting() as lifted:
                await lifted

    def cut_if_due(self) -> None:
        """Ends the stream where a plan says that it has sent enough."""
        for plan in self._due("cut"):
            self.end(plan.refusal("stream cut by a fault plan"))
            return

    async def before_write(self) -> None:
        """Waits as long as plans say.

        Raises:
            RefusedError: The stream was ended, by a plan or meanwhile.
        """
        for plan in self._due("slow_writes"):
            with plan.lifting() as lifted:
                await self._subscription.hold(lifted, plan.spec.seconds)
        while stalls := self._due("stall"):
            with stalls[0].lifting() as lifted:
                await self._subscription.hold(lifted, None)
        for plan in self._due("fail_write"):
            raise plan.refusal("writing failed by a fault plan")

    def wrote(self) -> None:
        """One more event was sent."""
        self._sent += 1
        self.cut_if_due()

    def _due(self, action: str) -> list[ActivePlan]:
        return [
            plan
            for plan, since in self._held
            if plan.spec.action == action
            and not plan.lifted
            and self._sent - since >= plan.spec.after
        ]


def carries_topic(topics: Collection[str], topic: str | None) -> bool:
    """Whether a stream of these topics, all for none, carries the one asked for, any for None."""
    return topic is None or not topics or topic in topics


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
