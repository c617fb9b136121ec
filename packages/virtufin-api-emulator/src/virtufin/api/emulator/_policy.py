"""The gateway's patience with its backends."""

from __future__ import annotations

from dataclasses import dataclass

from virtufin.api.emulator._checks import seconds, whole


@dataclass(frozen=True)
class InvocationPolicy:
    """How long, and how often, a backend is tried. The defaults are the documented gateway's.

    Times are at most ten years.

    Raises:
        ValueError: A number is out of its range.
        TypeError: Something is no number, or not a whole one where that is needed.
    """

    call_limit: float = 30.0
    """Seconds a call may take, retries included. A shorter deadline of the caller wins."""
    retries: int = 3
    """Tries after the first one, on UNAVAILABLE only."""
    retry_delay: float = 0.2
    """Seconds before the first retry; doubled before each further one."""
    circuit_failures: int = 5
    """Failed calls in a row (unavailable, or over the limit) that open a service's circuit."""
    circuit_open: float = 30.0
    """Seconds an open circuit refuses calls; then one call tries again."""
    descriptor_lifetime: float = 3600.0
    """Seconds a backend's descriptors are kept before reflection is asked again."""
    reflection_timeout: float = 5.0
    """Seconds a backend's reflection may take."""

    def __post_init__(self) -> None:
        seconds(self.call_limit, "call_limit")
        whole(self.retries, "retries", 0)
        seconds(self.retry_delay, "retry_delay", zero=True)
        whole(self.circuit_failures, "circuit_failures", 1)
        seconds(self.circuit_open, "circuit_open", zero=True)
        seconds(self.descriptor_lifetime, "descriptor_lifetime", zero=True)
        seconds(self.reflection_timeout, "reflection_timeout")
