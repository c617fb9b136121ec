"""A queue of events by topic, which decides when a batch of a topic is due.

A batch is a list of events of one topic that are sent in one call. A batch lingers: for a short
time it waits for more events of its topic.
"""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from .sender import Outgoing

Event = TypeVar("Event", bound=Outgoing)


class TopicBatchState(enum.Enum):
    """The state of the next batch of a topic."""

    LINGERING = "lingering"
    """The batch waits for more events, for `linger` seconds at most."""
    DUE = "due"
    """The batch waits for its turn to be taken."""
    BLOCKED = "blocked"
    """The batch waits for the outcome of the topic's last batch; only with `one_at_a_time`."""


class _TopicBatch(Generic[Event]):
    """The queued events of one topic, which the next batch is taken from."""

    # Slots, because a service may publish to thousands of topics.
    __slots__ = ("events", "flush_count", "size", "state", "timer")

    def __init__(self) -> None:
        self.events: deque[Event] = deque()
        self.size = 0
        """Size of the queued events in bytes."""
        self.flush_count = 0
        """Number of events, from the first, that must not linger any more."""
        self.state = TopicBatchState.LINGERING
        self.timer: asyncio.TimerHandle | None = None

    def stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class TopicQueue(Generic[Event]):
    """Gathers the events of each topic into batches, in the order in which the events came.

    A batch is due when it is full, when its first event has waited for `linger` seconds, or after
    `flush`. The batch that became due first is taken first.

    Args:
        max_events: Number of events in a full batch.
        max_bytes: Size of a full batch in bytes. A larger event has a batch of its own.
        linger: Longest time that an event waits for its batch to fill, in seconds.
        one_at_a_time: True if each batch of a topic waits until `mark_sent` is called for the batch
            before. Batches of different topics do not wait for each other.
        due: Function that is called when a batch has become due because its time has passed. The
            function is not called after `put`, `mark_sent` and `flush`, whose callers know.
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
        """Returns whether a batch is due, so that `take` returns that batch."""
        return bool(self._due)

    def put(self, event: Event) -> None:
        """Appends an event to the queued events of its topic."""
        queued = self._topics.get(event.topic)
        if queued is None:
            queued = self._topics[event.topic] = _TopicBatch()
        queued.events.append(event)
        queued.size += event.size
        self._update(event.topic, queued)

    def take(self) -> list[Event] | None:
        """Removes the next due batch from the queue and returns its events.

        Returns:
            The events, all of one topic, or None if no batch is due.
        """
        if not self._due:
            return None
        topic, queued = self._due.popleft()
        one_at_a_time = self._one_at_a_time
        queued.state = TopicBatchState.BLOCKED if one_at_a_time else TopicBatchState.LINGERING
        events = queued.events
        # The first event without a check, because an event above the byte limit is sent alone.
        batch = [events.popleft()]
        size = batch[0].size
        while events and len(batch) < self._max_events and size + events[0].size <= self._max_bytes:
            size += events[0].size
            batch.append(events.popleft())
        queued.size -= size
        queued.flush_count = max(0, queued.flush_count - len(batch))
        queued.stop_timer()
        self._update(topic, queued)
        return batch

    def mark_sent(self, topic: str) -> None:
        """Records that the outcome of the last batch of a topic is known.

        With `one_at_a_time`, the next batch of the topic may then become due.

        Args:
            topic: Topic of the batch.
        """
        queued = self._topics.get(topic)
        if queued is not None and queued.state is TopicBatchState.BLOCKED:
            queued.state = TopicBatchState.LINGERING
            self._update(topic, queued)

    def flush(self) -> None:
        """Makes all queued events due at once. Events that are put later linger as usual."""
        # Nothing to do for batches of one event, because these are full and so due from the start.
        if self._one_at_a_time and self._max_events == 1:
            return
        for topic, queued in tuple(self._topics.items()):
            self._flush(topic, queued)

    def clear(self) -> None:
        """Removes all events and stops all timers."""
        for queued in self._topics.values():
            queued.stop_timer()
        self._topics.clear()
        self._due.clear()

    def _flush(self, topic: str, queued: _TopicBatch[Event]) -> None:
        # A number and not a flag, because events that come later must linger as usual.
        queued.flush_count = len(queued.events)
        self._update(topic, queued)

    def _on_linger_end(self, topic: str, queued: _TopicBatch[Event]) -> None:
        queued.timer = None
        self._flush(topic, queued)
        self._call_due()

    def _is_full(self, queued: _TopicBatch[Event]) -> bool:
        return len(queued.events) >= self._max_events or queued.size >= self._max_bytes

    def _update(self, topic: str, queued: _TopicBatch[Event]) -> None:
        """Updates a topic: lists a due batch, starts the timer, or removes an empty topic."""
        if queued.state is not TopicBatchState.LINGERING:
            return
        if not queued.events:
            # Removed, because topics may be many and short-lived.
            queued.stop_timer()
            del self._topics[topic]
        elif queued.flush_count or self._is_full(queued):
            queued.stop_timer()
            queued.state = TopicBatchState.DUE
            self._due.append((topic, queued))
        elif queued.timer is None:
            loop = asyncio.get_running_loop()
            queued.timer = loop.call_later(self._linger, self._on_linger_end, topic, queued)
