"""The subscription people iterate."""

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
        return await self._stream.live(Budget(require_timeout(timeout)).left())

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
        budget = Budget(require_timeout(timeout))
        self._stream.check_loop()
        for state in states:
            if not isinstance(state, SubscriptionState):
                raise InvalidInputError(f"states are SubscriptionState, not {short_repr(state)}")
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


class Subscription(StreamHandle):
    """Events of some topics, for as long as you iterate.

    Connects at the first use: iteration, `ready()` or `async with`. Reconnects after an
    interruption, pauses the gateway while the consumer is slow, and loses no received event when a
    wait for the next one is cancelled (`asyncio.wait_for(anext(subscription), 1.0)` is safe).
    Letting go of the object ends it like `aclose()`.

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
        """Connects where that has not been done; see `StreamHandle.ready`."""
        self._start()
        return await super().ready(timeout)

    async def aclose(self) -> None:
        """Ends the subscription. What was received can still be iterated. Idempotent."""
        self._stream.stop()
        await self._stream.ended(CLOSE_WAIT)

    def __aiter__(self) -> Subscription:
        """Starts the subscription."""
        self._start()
        return self

    async def __anext__(self) -> PubsubEvent:
        """The next event."""
        self._start()
        stream = self._stream
        try:
            while True:
                item = await stream.next()
                if isinstance(item, PubsubEvent):
                    return item
        except Ended:
            raise StopAsyncIteration from None
        except asyncio.CancelledError:
            # Letting go of a subscription ends it, so the traceback must not hold it.
            del self
            raise

    async def __aenter__(self) -> Subscription:
        """Starts the subscription and waits until it is ready, 2 s at most."""
        await self.ready()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends the subscription."""
        await self.aclose()

    def _start(self) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        self._stream.start()

    def __del__(self) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed() and not self._stream.state.ended:
            loop.call_soon_threadsafe(self._stream.stop)

    def __repr__(self) -> str:
        topics = ", ".join(self.topics) or "all topics"
        return f"<Subscription {topics}: {self.state.value}>"
