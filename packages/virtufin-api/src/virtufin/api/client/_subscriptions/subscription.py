"""The subscription that users iterate, and the base of all subscriptions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from virtufin.api.client._deadlines import Budget
from virtufin.api.client._settings import CLOSE_WAIT
from virtufin.api.client._types import NOT_GIVEN, NotGiven, Timeout
from virtufin.api.client._validation import require_timeout, short_repr
from virtufin.api.client.errors import DeadlineExceededError, InvalidInputError
from virtufin.api.client.events import PubsubEvent

from .buffer import Ended
from .event_stream import EventStream
from .state import ENDED, SubscriptionState, SubscriptionStats


class BaseSubscription:
    """The base of `Subscription` and `HandlerSubscription`."""

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream

    @property
    def topics(self) -> tuple[str, ...]:
        """Returns the subscribed topics. An empty tuple leaves the choice to the gateway."""
        return self._stream.topics

    @property
    def state(self) -> SubscriptionState:
        """Returns the current state of the subscription."""
        return self._stream.state

    @property
    def confirmed(self) -> bool:
        """Returns True if the gateway has sent headers or an event on the current stream."""
        return self._stream.confirmed

    @property
    def stats(self) -> SubscriptionStats:
        """Returns the current counters of the subscription."""
        return self._stream.stats

    async def ready(self, timeout: Timeout = NOT_GIVEN) -> bool:
        """Waits until the subscription is live: events published from then on arrive.

        Args:
            timeout: Seconds. If not given, `SubscriptionSettings.ready_wait` (2 s by default); None
                means no limit. A surrounding `deadline()` limits the wait too.

        Returns:
            True if the gateway has confirmed the stream. False means that the gateway is not
            reachable yet, or answers with the first event only.

        Raises:
            VirtufinError: The subscription has failed for good.
        """
        if isinstance(timeout, NotGiven):
            timeout = self._stream.ready_wait
        return await self._stream.wait_live(Budget(require_timeout(timeout)).left())

    async def wait_for(
        self, *states: SubscriptionState, timeout: float | None = None
    ) -> SubscriptionState:
        """Waits until the subscription is in one of these states, or has ended.

        Args:
            *states: The states to wait for.
            timeout: Seconds; None means no limit. A surrounding `deadline()` limits the wait too.

        Returns:
            The state of the subscription after the wait.

        Raises:
            DeadlineExceededError: The timeout ended first.
            InvalidInputError: An argument is not a SubscriptionState.

        Example:
            >>> from virtufin.api.client import SubscriptionState
            >>> async def until_back(subscription):
            ...     await subscription.wait_for(SubscriptionState.LIVE, timeout=60.0)
        """
        budget = Budget(require_timeout(timeout))
        self._stream.check_loop()
        # Checked, because a text such as "live" would match no state and wait for ever.
        for state in states:
            if not isinstance(state, SubscriptionState):
                raise InvalidInputError(f"states are SubscriptionState, not {short_repr(state)}")
        # Ended states count too, because the subscription can then enter no other state.
        others = frozenset(SubscriptionState) - ENDED - frozenset(states)
        if not await self._stream.life.leaves(others, budget.left()):
            raise DeadlineExceededError(
                f"the subscription was still {self.state.value} after {budget.total:.3g} s",
                topic=self._stream.name,
            )
        return self.state

    async def states(self) -> AsyncIterator[SubscriptionState]:
        """Yields the current state, then each later state, until the subscription has ended.

        Example:
            >>> async def report(subscription):
            ...     async for state in subscription.states():
            ...         print(state.value)
        """
        self._stream.check_loop()
        async for state in self._stream.life.changes():
            yield state

    async def wait_closed(self) -> None:
        """Waits until the subscription has ended.

        Raises:
            VirtufinError: The subscription failed (`StreamFailedError`).
        """
        await self._stream.wait_ended()
        failure = self._stream.failure
        if failure is not None:
            raise failure


class Subscription(BaseSubscription):
    """A subscription to iterate with `async for`.

    Connects at the first use: iteration, `ready()` or `async with`. Reconnects after an
    interruption. Pauses the gateway while the consumer is slow. Loses no received event when a wait
    for the next event is cancelled, so `asyncio.wait_for(anext(subscription), 1.0)` is safe.
    Dropping the last reference to the object ends the subscription, like `aclose()`.

    Example:
        >>> async def watch(client):
        ...     async with client.pubsub.subscribe_async_iter("prices") as subscription:
        ...         async for event in subscription:
        ...             print(event.topic, event.data_as_text())
    """

    def __init__(self, stream: EventStream) -> None:
        super().__init__(stream)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def ready(self, timeout: Timeout = NOT_GIVEN) -> bool:
        """Connects if necessary, and waits until events published from then on arrive.

        Arguments, result and errors are those of `BaseSubscription.ready`.
        """
        self._start()
        return await super().ready(timeout)

    async def aclose(self) -> None:
        """Ends the subscription, and waits 5 s at most for the end of its stream.

        Events received before can still be iterated. Idempotent.
        """
        self._stream.stop()
        # With a time limit, because a reader that does not end must not block the caller.
        await self._stream.wait_ended(CLOSE_WAIT)

    def __aiter__(self) -> Subscription:
        """Starts the subscription."""
        self._start()
        return self

    async def __anext__(self) -> PubsubEvent:
        """Waits for the next event and returns it; skips interruptions, which `states()` shows."""
        if self._loop is None:
            self._start()
        stream = self._stream
        stream.check_loop()
        try:
            while True:
                item = await stream.next()
                if isinstance(item, PubsubEvent):
                    return item
        except Ended:
            # From None, because `Ended` is a signal inside this package.
            raise StopAsyncIteration from None
        except asyncio.CancelledError:
            # Deleted, because dropping a subscription ends it, and the traceback would hold it.
            del self
            raise

    async def __aenter__(self) -> Subscription:
        """Starts the subscription and waits until it is live, at most `ready_wait` (2 s)."""
        await self.ready()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends the subscription."""
        await self.aclose()

    def _start(self) -> None:
        # Kept, because `__del__` may run while no event loop is running.
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        self._stream.start()

    def __del__(self) -> None:
        # Over `call_soon_threadsafe`, because the garbage collector may run in another thread.
        loop = self._loop
        if loop is not None and not loop.is_closed() and not self._stream.state.ended:
            loop.call_soon_threadsafe(self._stream.stop)

    def __repr__(self) -> str:
        topics = ", ".join(self.topics) or "all topics"
        return f"<Subscription {topics}: {self.state.value}>"
