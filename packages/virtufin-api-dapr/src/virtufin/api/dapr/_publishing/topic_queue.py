"""Events that wait to be sent, by topic, and when a batch of them is due."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from .sender import Outgoing

Event = TypeVar("Event", bound=Outgoing)


class _Lane(Generic[Event]):
    """What waits for one topic."""

    __slots__ = ("events", "listed", "sending", "size", "timer", "urgent")

    def __init__(self) -> None:
        self.events: deque[Event] = deque()
        self.size = 0
        self.urgent = 0
        self.listed = False
        self.sending = False
        self.timer: asyncio.TimerHandle | None = None

    def stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class TopicQueue(Generic[Event]):
    """Hands out events of one topic at a time, in the order in which they came.

    A batch of a topic is due when it is full, when its first event has waited for `linger` seconds,
    or when somebody is in a hurry. Topics with a batch that is due take turns.

    Args:
        max_events: Events of a full batch.
        max_bytes: Bytes of a full batch; a larger event makes one alone.
        linger: Longest wait for a batch to fill, seconds.
        one_at_a_time: Whether a topic's next batch waits until `sent` is called for the last one.
        due: Called when a batch has become due by waiting.
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
        self._lanes: dict[str, _Lane[Event]] = {}
        self._due: deque[tuple[str, _Lane[Event]]] = deque()

    @property
    def has_due(self) -> bool:
        """Whether `take` has a batch to give."""
        return bool(self._due)

    def put(self, event: Event) -> None:
        """Appends an event to its topic."""
        lane = self._lanes.get(event.topic)
        if lane is None:
            lane = self._lanes[event.topic] = _Lane()
        lane.events.append(event)
        lane.size += event.size
        self._look(event.topic, lane)

    def take(self) -> list[Event] | None:
        """The next batch; None where none is due."""
        if not self._due:
            return None
        topic, lane = self._due.popleft()
        lane.listed = False
        lane.sending = self._one_at_a_time
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
        self._look(topic, lane)
        return batch

    def sent(self, topic: str) -> None:
        """A batch of this topic is done with; the next one may follow."""
        lane = self._lanes.get(topic)
        if lane is not None:
            lane.sending = False
            self._look(topic, lane)

    def hurry(self) -> None:
        """Makes everything due that is here now."""
        if self._one_at_a_time and self._max_events == 1:
            return
        for topic, lane in tuple(self._lanes.items()):
            self._hurry(topic, lane)

    def clear(self) -> None:
        """Forgets everything."""
        for lane in self._lanes.values():
            lane.stop_timer()
        self._lanes.clear()
        self._due.clear()

    def _hurry(self, topic: str, lane: _Lane[Event]) -> None:
        lane.urgent = len(lane.events)
        self._look(topic, lane)

    def _lingered(self, topic: str, lane: _Lane[Event]) -> None:
        lane.timer = None
        self._hurry(topic, lane)
        self._call_due()

    def _pop(self, lane: _Lane[Event]) -> Event:
        event = lane.events.popleft()
        lane.size -= event.size
        lane.urgent = max(0, lane.urgent - 1)
        return event

    def _look(self, topic: str, lane: _Lane[Event]) -> None:
        """Lists a topic, sets its timer, or forgets it, as its state asks for."""
        if lane.listed or lane.sending:
            return
        if not lane.events:
            lane.stop_timer()
            del self._lanes[topic]
        elif lane.urgent or len(lane.events) >= self._max_events or lane.size >= self._max_bytes:
            lane.stop_timer()
            lane.listed = True
            self._due.append((topic, lane))
        elif lane.timer is None:
            loop = asyncio.get_running_loop()
            lane.timer = loop.call_later(self._linger, self._lingered, topic, lane)
