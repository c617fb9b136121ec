"""A filter for repeated and historical events of a broker.

A broker delivers events at least once, and delivers the retained history of a topic to a new
consumer group. Subscribers of a gateway receive neither repeats nor history.
"""

from __future__ import annotations

from datetime import datetime, timezone

from virtufin.api.protos.cloudevents_pb2 import CloudEvent

# A bound, because the memory of a gateway that runs for months must not grow without limit.
REMEMBERED = 10_000
"""Number of recent events of a topic among which repeats are found, by source and id
(CloudEvents 1.0)."""
# Short, because later old times are legitimate: they are those of replayed events.
CATCHING_UP = 10.0
"""Seconds after a topic is first live in which events older than the gateway are history."""


class DeliveryFilter:
    """A filter for the events of one topic."""

    def __init__(self, *, started: datetime, keep_history: bool) -> None:
        """Creates a filter that accepts historical events until `start_catch_up` is called.

        Args:
            started: Time of the gateway's start. Older events are history.
            keep_history: Whether historical events are accepted.
        """
        self._started = started
        self._keep_history = keep_history
        self._catching_up_until: float | None = None
        self._seen: dict[tuple[str, str], None] = {}

    def start_catch_up(self, now: float) -> None:
        """Starts to reject historical events, unless history is kept. Call when the topic is live.

        Args:
            now: Current time in seconds, on the same clock as for `accepts`.
        """
        if not self._keep_history:
            self._catching_up_until = now + CATCHING_UP

    def accepts(self, event: CloudEvent, now: float) -> bool:
        """Returns True if subscribers must receive an event. Call once per delivery.

        Args:
            event: Delivered event.
            now: Current time in seconds, on the same clock as for `start_catch_up`.
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
        return None
