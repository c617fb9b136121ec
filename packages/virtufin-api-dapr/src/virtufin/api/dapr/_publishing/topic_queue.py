"""A queue of events by topic, which decides when a batch of a topic is due."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from .sender import Outgoing

Event = TypeVar("Event", bound=Outgoing)


class _TopicBatch(Generic[Event]):
    """The waiting events of one topic and the state of its next batch."""

    # Slots, because a service may publish to thousands of topics.
    __slots__ = ("events", "flush_count", "is_ready", "sending", "size", "timer")

    def __init__(self) -> None:
        self.events: deque[Event] = deque()
        self.size = 0
        self.flush_count = 0
        self.is_ready = False
        self.sending = False
        self.timer: asyncio.TimerHandle | None = None

    def stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class TopicQueue(Generic[Event]):
    """Gathers events into batches of one topic, in the order in which the events came.

    A batch of a topic is due when it is full, when its first event has waited for `linger` seconds,
    or after `flush`. Topics with a due batch take turns.

    Args:
        max_events: Number of events in a full batch.
        max_bytes: Size of a full batch in bytes; a larger event has a batch of its own.
        linger: Longest wait for a batch to fill, in seconds.
        one_at_a_time: Whether a topic's next batch waits until `sent` is called for the last batch.
        due: Function that is called when a batch has become due by waiting.
    """

    def __init__(
        self,
        *,
        max_events: int,
        max_bytes: int,
        linger: float,
        one_at_a_time: bool,
        due: Callable[[], None],
    ) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._linger = linger
        self._one_at_a_time = one_at_a_time
        self._call_due = due
        self._topics: dict[str, _TopicBatch[Event]] = {}
        self._due: deque[tuple[str, _TopicBatch[Event]]] = deque()

    @property
    def has_due(self) -> bool:
        """Returns whether a batch is due."""
        return bool(self._due)

    def put(self, event: Event) -> None:
        """Appends an event to the events of its topic."""
        lane = self._topics.get(event.topic)
        if lane is None:
            lane = self._topics[event.topic] = _TopicBatch()
        lane.events.append(event)
        lane.size += event.size
        self._update(event.topic, lane)

    def take(self) -> list[Event] | None:
        """Removes the next due batch and returns it; None if no batch is due."""
        if not self._due:
            return None
        topic, lane = self._due.popleft()
        lane.is_ready = False
        lane.sending = self._one_at_a_time
        # The first event without a check, because an event above the byte limit is sent alone.
        batch = [self._pop(lane)]
        size = batch[0].size
        while (
            lane.events
            and len(batch) < self._max_events
            and size + lane.events[0].size <= self._max_bytes
        ):
            size += lane.events[0].size
            batch.append(self._pop(lane))
        lane.stop_timer()
        self._update(topic, lane)
        return batch

    def sent(self, topic: str) -> None:
        """Records that the outcome of a topic's batch is known, so that the next may be due.

        Args:
            topic: Topic of the batch.
        """
        lane = self._topics.get(topic)
        if lane is not None:
            lane.sending = False
            self._update(topic, lane)

    def flush(self) -> None:
        """Makes all events that are queued now due at once."""
        # Nothing to do for batches of one event, because these are full and so due from the start.
        if self._one_at_a_time and self._max_events == 1:
            return
        for topic, lane in tuple(self._topics.items()):
            self._flush(topic, lane)

    def clear(self) -> None:
        """Removes all events and stops all timers."""
        for lane in self._topics.values():
            lane.stop_timer()
        self._topics.clear()
        self._due.clear()

    def _flush(self, topic: str, lane: _TopicBatch[Event]) -> None:
        # A number and not a flag, because events that come later must linger as usual.
        lane.flush_count = len(lane.events)
        self._update(topic, lane)

    def _lingered(self, topic: str, lane: _TopicBatch[Event]) -> None:
        lane.timer = None
        self._flush(topic, lane)
        self._call_due()

    def _pop(self, lane: _TopicBatch[Event]) -> Event:
        event = lane.events.popleft()
        lane.size -= event.size
        lane.flush_count = max(0, lane.flush_count - 1)
        return event

    def _update(self, topic: str, lane: _TopicBatch[Event]) -> None:
        """Updates a topic: lists a due batch, starts the timer, or removes an empty topic."""
        if lane.is_ready or lane.sending:
            return
        if not lane.events:
            # Removed, because topics may be many and short-lived.
            lane.stop_timer()
            del self._topics[topic]
        elif (
            lane.flush_count or len(lane.events) >= self._max_events or lane.size >= self._max_bytes
        ):
            lane.stop_timer()
            lane.is_ready = True
            self._due.append((topic, lane))
        elif lane.timer is None:
            loop = asyncio.get_running_loop()
            lane.timer = loop.call_later(self._linger, self._lingered, topic, lane)
