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
"""Seconds after the first subscription to a topic in which old events are taken for history."""


class News:
    """Judges the events of one topic."""

    def __init__(self, *, started: datetime, now: float, keep_history: bool) -> None:
        """Begins to catch up.

        Args:
            started: When the gateway was started; what is older is history.
            now: Seconds on the clock that `admits` is given.
            keep_history: Whether history counts as news.
        """
        self._started = started
        self._catching_up_until = None if keep_history else now + CATCHING_UP
        self._seen: dict[tuple[str, str], None] = {}

    def admits(self, event: CloudEvent, now: float) -> bool:
        """Whether subscribers are to get it; said once of each event."""
        identity = (event.source, event.id)
        if identity in self._seen:
            return False
        self._seen[identity] = None
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return not self._is_history(event, now)

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
