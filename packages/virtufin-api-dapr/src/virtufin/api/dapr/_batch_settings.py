"""The settings of a batch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from virtufin.api.client._checks import positive, whole
from virtufin.api.client._shown import shown
from virtufin.api.client.errors import InvalidInputError
from virtufin.api.dapr._outcomes import FailedEvent

OnFailed = Callable[[FailedEvent], "Awaitable[object] | object"]
"""A function, plain or async, that is told of each event that failed."""

_MOST_EVENTS = 1000
_MOST_BYTES = 2**31 - 1
_MOST_PENDING = 2**63 - 1
_MOST_IN_FLIGHT = 256
_LONGEST_LINGER = 3600.0


@dataclass(frozen=True)
class BatchSettings:
    """The settings of a batch; see `DaprPublisher.batching`."""

    max_events: int
    max_bytes: int
    linger: float
    max_pending_events: int
    max_pending_bytes: int
    max_in_flight: int
    keep_order: bool
    on_failed: OnFailed | None
    timeout: float | None

    def __post_init__(self) -> None:
        whole("max_events", self.max_events, 1, _MOST_EVENTS)
        whole("max_bytes", self.max_bytes, 1, _MOST_BYTES)
        whole("max_pending_events", self.max_pending_events, 1, _MOST_PENDING)
        whole("max_pending_bytes", self.max_pending_bytes, 1, _MOST_PENDING)
        whole("max_in_flight", self.max_in_flight, 1, _MOST_IN_FLIGHT)
        if self.linger != 0:
            positive("linger", self.linger, _LONGEST_LINGER)
        if not isinstance(self.keep_order, bool):
            raise InvalidInputError(f"keep_order must be a bool, not {shown(self.keep_order)}")
        if self.on_failed is not None and not callable(self.on_failed):
            raise InvalidInputError(f"on_failed must be a function, not {shown(self.on_failed)}")
