"""What people can see of a subscription."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class SubscriptionState(enum.Enum):
    """Where a subscription is in its life."""

    NEW = "new"
    """Made, nothing sent yet."""
    CONNECTING = "connecting"
    """The first stream is being opened."""
    LIVE = "live"
    """Events published from now on arrive."""
    RECONNECTING = "reconnecting"
    """The stream was lost; events published meanwhile may be missing."""
    CLOSED = "closed"
    """Ended on purpose."""
    FAILED = "failed"
    """Ended by an error that trying again would not change."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self in (SubscriptionState.CLOSED, SubscriptionState.FAILED)


@dataclass(frozen=True)
class SubscriptionStats:
    """Counters of one subscription, as they were when asked for."""

    received: int
    """Events read from the gateway."""
    delivered: int
    """Events handed to the consumer; a handler's filters come after that."""
    buffered: int
    """Events that wait for the consumer now, and reports of gaps among them."""
    interruptions: int
    """Times the stream was lost or could not be opened, each gap counted once."""
    attempts: int
    """Streams opened or tried, the first included."""
    handovers: int = 0
    """Times a silent stream was left for a new one, which is no interruption."""
