"""What a subscription lets people see and await, however its events are consumed."""

from __future__ import annotations

from virtufin.api.client._checks import timeout_or_none
from virtufin.api.client._deadline import Budget
from virtufin.api.client._sentinel import NOT_GIVEN, NotGiven
from virtufin.api.client._states import SubscriptionState, SubscriptionStats
from virtufin.api.client._stream import EventStream


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

    async def ready(self, timeout: float | NotGiven | None = NOT_GIVEN) -> bool:
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

    async def wait_closed(self) -> None:
        """Waits for the end.

        Raises:
            VirtufinError: It ended by failing (`StreamFailedError`).
        """
        await self._stream.ended()
        failure = self._stream.failure
        if failure is not None:
            raise failure
