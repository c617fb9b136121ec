"""The settings of a batch publisher. Apart, because readers look for settings by this name."""

from __future__ import annotations

from dataclasses import dataclass

from virtufin.api.client._validation import require_positive, require_whole, short_repr
from virtufin.api.client.errors import InvalidInputError

from .results import OnFailed

# Limits of the settings, because a value far above them is a mistake of the caller.
_MOST_EVENTS = 1000
_MOST_PENDING = 2**63 - 1
_MOST_IN_FLIGHT = 256
_LONGEST_LINGER = 3600.0


@dataclass(frozen=True)
class BatchSettings:
    """The settings of a batch publisher, with the meaning of the arguments of `batching`.

    Raises:
        InvalidInputError: A setting is out of its range or has the wrong type.
    """

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
        require_whole("max_events", self.max_events, 1, _MOST_EVENTS)
        require_whole("max_bytes", self.max_bytes, 1)
        require_whole("max_pending_events", self.max_pending_events, 1, _MOST_PENDING)
        require_whole("max_pending_bytes", self.max_pending_bytes, 1, _MOST_PENDING)
        require_whole("max_in_flight", self.max_in_flight, 1, _MOST_IN_FLIGHT)
        # Apart from 0, because `require_positive` refuses 0, which here means one turn of the loop.
        if self.linger != 0:
            require_positive("linger", self.linger, _LONGEST_LINGER)
        if not isinstance(self.keep_order, bool):
            raise InvalidInputError(f"keep_order must be a bool, not {short_repr(self.keep_order)}")
        if self.on_failed is not None and not callable(self.on_failed):
            raise InvalidInputError(
                f"on_failed must be a function, not {short_repr(self.on_failed)}"
            )
