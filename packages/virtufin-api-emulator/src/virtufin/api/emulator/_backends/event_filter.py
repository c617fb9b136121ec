"""What of a broker's deliveries is news to the subscribers of a gateway.

A broker delivers at least once, and hands the retained history of a topic to a consumer group that
it has not seen before. A gateway has neither history nor repeats.
"""

from __future__ import annotations

from datetime import datetime, timezone

from virtufin.api.protos.cloudevents_pb2 import CloudEvent

REMEMBERED = 10_000
"""Events of a topic among which repeats are found, by source and id (CloudEvents 1.0)."""
CATCHING_UP = 10.0
"""Seconds from the first subscription to a topic, once live, in which old events are history."""


class News:
    """Judges the events of one topic."""

    def __init__(self, *, started: datetime, keep_history: bool) -> None:
        """Takes nothing for history yet.

        Args:
            started: When the gateway was started; what is older is history.
            keep_history: Whether history counts as news.
        """
        self._started = started
        self._keep_history = keep_history
        self._catching_up_until: float | None = None
        self._seen: dict[tuple[str, str], None] = {}

    def begin(self, now: float) -> None:
        """Begins to catch up, as events can come from now on.

        Args:
            now: Seconds on the clock that `admits` is given.
        """
        if not self._keep_history:
            self._catching_up_until = now + CATCHING_UP

    def admits(self, event: CloudEvent, now: float) -> bool:
        """Whether subscribers are to get it; said once of each event."""
        return not self._is_repeat(event) and not self._is_history(event, now)

    def _is_repeat(self, event: CloudEvent) -> bool:
        if not event.id:
            # Not one id that two events share, but none.
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
        moment = _time(event)
        if moment is None:
            return False
        # Dapr itself gives an event the time in whole seconds, cut off.
        started = self._started if moment.microsecond else self._started.replace(microsecond=0)
        if now > self._catching_up_until or moment >= started:
            # From here on old times are those of events that others replay.
            self._catching_up_until = None
            return False
        return True


def _time(event: CloudEvent) -> datetime | None:
    if "time" not in event.attributes:
        return None
    attribute = event.attributes["time"]
    if attribute.WhichOneof("attr") != "ce_timestamp":
        return None
    try:
        return attribute.ce_timestamp.ToDatetime(tzinfo=timezone.utc)
    except (ValueError, OverflowError):
        return None
