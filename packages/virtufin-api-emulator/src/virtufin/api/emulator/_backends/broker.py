"""A broker in memory, which delivers each event to every subscription of its topic, in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import grpc

from virtufin.api.emulator._status_errors import StatusError


@dataclass(frozen=True)
class Event:
    """An event as a serialized CloudEvent, and its topic."""

    topic: str
    cloudevent: bytes


class Subscription:
    """A subscription to topics, with the events that its subscriber has not taken yet.

    The number of events has no limit, as in the documented gateway. `Broker.subscribe` returns
    instances of this class.

    Args:
        broker: The broker.
        topics: The subscribed topics. Empty means all topics.
    """

    def __init__(self, broker: Broker, topics: Iterable[str]) -> None:
        self._broker = broker
        self.topics = frozenset(topics)
        self._events: deque[Event] = deque()
        self._arrived: asyncio.Future[None] | None = None
        self._end: StatusError | None = None

    async def next(self) -> Event:
        """Waits for the next event and returns it.

        Raises:
            StatusError: The subscription was ended by `end`. Events that were not taken are lost.
        """
        while self._end is None and not self._events:
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived
        if self._end is not None:
            raise self._end
        return self._events.popleft()

    async def wait_for(self, until: asyncio.Future[None], timeout: float | None) -> None:
        """Waits until a future is done, without taking an event. Returns also at the timeout.

        Args:
            until: Future to wait for. Its result is not read.
            timeout: Seconds to wait at most. None means no limit.

        Raises:
            StatusError: The subscription was ended by `end`.
        """
        # A loop, because each new event wakes the wait as well.
        loop = asyncio.get_running_loop()
        end = None if timeout is None else loop.time() + timeout
        while self._end is None and not until.done():
            left = None if end is None else end - loop.time()
            if left is not None and left <= 0:
                break
            self._arrived = loop.create_future()
            await asyncio.wait(
                (self._arrived, until), timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
        if self._end is not None:
            raise self._end

    def push(self, event: Event) -> None:
        """Adds an event for the subscriber. The broker calls this."""
        self._events.append(event)
        self._wake()

    def end(self, reason: StatusError) -> None:
        """Ends the subscription: `next` and `wait_for` raise from now on, also in waiting tasks.

        Args:
            reason: The error to raise. After the first call, further calls have no effect.
        """
        if self._end is None:
            self._end = reason
            self._wake()

    def close(self) -> None:
        """Removes the subscription from its broker, which delivers no more events. Idempotent."""
        self._broker.remove(self)

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Broker:
    """The subscriptions of one gateway, and the delivery of events to them."""

    def __init__(self) -> None:
        # Dicts, not sets, so that subscriptions get an event in the order in which they were made.
        self._by_topic: dict[str, dict[Subscription, None]] = {}
        self._of_all_topics: dict[Subscription, None] = {}
        self._closed: StatusError | None = None

    def open(self) -> None:
        """Lets new subscriptions live again after `close`."""
        self._closed = None

    def close(self) -> None:
        """Ends all subscriptions with UNAVAILABLE, and each new one until `open` is called."""
        self._closed = StatusError(grpc.StatusCode.UNAVAILABLE, "the gateway is shutting down")
        for subscription in self.subscriptions():
            subscription.end(self._closed)

    def subscribe(self, topics: Iterable[str]) -> Subscription:
        """Returns a subscription that gets the events published from now on.

        The caller must close the subscription.

        Args:
            topics: Topics to subscribe to. Empty means all topics.
        """
        # After `close` the subscription is created and ended, so that the caller gets the reason
        # from `next` like any other subscriber.
        subscription = Subscription(self, topics)
        for topic in subscription.topics:
            self._by_topic.setdefault(topic, {})[subscription] = None
        if not subscription.topics:
            self._of_all_topics[subscription] = None
        if self._closed is not None:
            subscription.end(self._closed)
        return subscription

    def remove(self, subscription: Subscription) -> None:
        """Removes a subscription. Does nothing if it was removed before."""
        self._of_all_topics.pop(subscription, None)
        for topic in subscription.topics:
            of_topic = self._by_topic.get(topic, {})
            of_topic.pop(subscription, None)
            # Dropped, so that the broker does not grow with every topic that was ever used.
            if not of_topic:
                self._by_topic.pop(topic, None)

    def publish(self, event: Event) -> None:
        """Delivers an event to every subscription of its topic."""
        for subscription in self._by_topic.get(event.topic, ()):
            subscription.push(event)
        for subscription in self._of_all_topics:
            subscription.push(event)

    def subscriptions(self) -> set[Subscription]:
        """Returns all open subscriptions."""
        return {*self._of_all_topics, *(one for many in self._by_topic.values() for one in many)}
