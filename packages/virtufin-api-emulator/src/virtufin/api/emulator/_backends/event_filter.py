"""A filter for events that subscribers must not receive: repeats and history.

A broker delivers each event at least once, so that an event can be repeated. To a new consumer
group a broker delivers the history of a topic: events from before the group existed.
"""

from __future__ import annotations

from datetime import datetime, timezone

from virtufin.api.protos.cloudevents_pb2 import CloudEvent

# A bound, because the memory of a gateway that runs for months must not grow without limit.
REMEMBERED = 10_000
"""Number of recent events of a topic to which each event is compared, by source and id."""
# Short, because later old times are legitimate: they are those of replayed events.
CATCHING_UP = 10.0
"""Seconds after the first confirmation of a topic in which events from before the start of the
gateway are rejected as history."""


class DeliveryFilter:
    """A filter for the events of one topic, which rejects repeats and history."""

    def __init__(self, *, started: datetime, keep_history: bool) -> None:
        """Creates a filter that rejects history only after `start_catch_up` was called.

        Args:
            started: Time of the start of the gateway. Events with an earlier time are history.
            keep_history: True to accept history.
        """
        self._started = started
        self._keep_history = keep_history
        self._catching_up_until: float | None = None
        self._seen: dict[tuple[str, str], None] = {}

    def start_catch_up(self, now: float) -> None:
        """Begins to reject history, for `CATCHING_UP` seconds or until the first newer event.

        Call this when the sidecar has confirmed the topic. Has no effect with `keep_history`.

        Args:
            now: Current time in seconds, on the clock that `accepts` uses.
        """
        if not self._keep_history:
            self._catching_up_until = now + CATCHING_UP

    def accepts(self, event: CloudEvent, now: float) -> bool:
        """Returns True if subscribers must receive an event. Call this once for each delivery.

        Args:
            event: The delivered event, which is remembered to find repeats.
            now: Current time in seconds, on the clock that `start_catch_up` uses.
        """
        return not self._is_repeat(event) and not self._is_history(event, now)

    def _is_repeat(self, event: CloudEvent) -> bool:
        if not event.id:
            # An empty id is no id, so two events without one are not the same event.
            return False
        identity = (event.source, event.id)
        if identity in self._seen:
            return True
        self._seen[identity] = None
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return False

    def _is_history(self, event: CloudEvent, now: float) -> bool:
        if self._catching_up_until is None:
            return False
        moment = _read_time(event)
        if moment is None:
            return False
        # Compared in whole seconds, because Dapr truncates the times that it adds to whole seconds.
        started = self._started if moment.microsecond else self._started.replace(microsecond=0)
        if now > self._catching_up_until or moment >= started:
            # The history has ended, because from now on an old time is that of a replayed event.
            self._catching_up_until = None
            return False
        return True


def _read_time(event: CloudEvent) -> datetime | None:
    if "time" not in event.attributes:
        return None
    attribute = event.attributes["time"]
    if attribute.WhichOneof("attr") != "ce_timestamp":
        return None
    try:
        return attribute.ce_timestamp.ToDatetime(tzinfo=timezone.utc)
    except (ValueError, OverflowError):
        # None, because a time that Python cannot hold does not say whether the event is history.
        return None
