"""What a subscription lets people see and await, however its events are consumed."""

from __future__ import annotations

from collections.abc import AsyncIterator

from virtufin.api.client._checks import timeout_or_none
from virtufin.api.client._deadline import Budget
from virtufin.api.client._lifecycle import ENDED
from virtufin.api.client._sentinel import NOT_GIVEN, NotGiven, Timeout
from virtufin.api.client._shown import shown
from virtufin.api.client._states import SubscriptionState, SubscriptionStats
from virtufin.api.client._stream import EventStream
from virtufin.api.client.errors import DeadlineExceededError, InvalidInputError


class StreamHandle:
    """Base of `Subscription` and `HandlerSubscription`."""

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics asked for; empty means what the gateway makes of no topics."""
        return self._stream.topics

    @property
    def state(self) -> SubscriptionState:
        """Where the subscription is in its life."""
        return self._stream.state

    @property
    def confirmed(self) -> bool:
        """Whether the gateway has answered on the current stream."""
        return self._stream.confirmed

    @property
    def stats(self) -> SubscriptionStats:
        """Counters, as they are now."""
        return self._stream.stats

    async def ready(self, timeout: Timeout = NOT_GIVEN) -> bool:
        """Waits until events published from now on arrive.

        Args:
            timeout: Seconds; not given means 2 s (`SubscriptionSettings.ready_wait`), None no
                limit. A surrounding `deadline()` bounds it too.

        Returns:
            Whether the gateway has confirmed the stream. False means that it did not within the
            wait: some gateways answer with the first event only, or it is not reachable yet.

        Raises:
            VirtufinError: The subscription has failed for good.
        """
        if isinstance(timeout, NotGiven):
            timeout = self._stream.ready_wait
        return await self._stream.live(Budget(timeout_or_none(timeout)).left())

    async def wait_for(
        self, *states: SubscriptionState, timeout: float | None = None
    ) -> SubscriptionState:
        """Waits until the subscription is in one of these states, or has ended.

        Args:
            *states: The states to wait for.
            timeout: Seconds; None means no limit. A surrounding `deadline()` bounds it too.

        Returns:
            The state it is in then.

        Raises:
            DeadlineExceededError: It did not come to that in time.
            InvalidInputError: One is no SubscriptionState.

        Example:
            >>> from virtufin.api.client import SubscriptionState
            >>> async def until_back(subscription):
            ...     await subscription.wait_for(SubscriptionState.LIVE, timeout=60.0)
        """
        budget = Budget(timeout_or_none(timeout))
        self._stream.check_loop()
        for state in states:
            if not isinstance(state, SubscriptionState):
                raise InvalidInputError(f"states are SubscriptionState, not {shown(state)}")
        others = frozenset(SubscriptionState) - ENDED - frozenset(states)
        if not await self._stream.life.leaves(others, budget.left()):
            raise DeadlineExceededError(
                f"the subscription was still {self.state.value} after {budget.total:.3g} s",
                topic=self._stream.name,
            )
        return self.state

    async def states(self) -> AsyncIterator[SubscriptionState]:
        """Yields the state, then each one entered after it, until the subscription has ended.

        Example:
            >>> async def report(subscription):
            ...     async for state in subscription.states():
            ...         print(state.value)
        """
        self._stream.check_loop()
        async for state in self._stream.life.changes():
            yield state

    async def wait_closed(self) -> None:
        """Waits for the end.

        Raises:
            VirtufinError: It ended by failing (`StreamFailedError`).
        """
        await self._stream.ended()
        failure = self._stream.failure
        if failure is not None:
            raise failure
