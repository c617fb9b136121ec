"""Waiting times between attempts."""

from __future__ import annotations

import random
from collections.abc import Iterator


def delays(initial: float, maximum: float, multiplier: float, jitter: float) -> Iterator[float]:
    """Yields seconds to wait before each further attempt, without end.

    Each nominal delay is `multiplier` times the one before, capped at `maximum`; what is yielded
    lies evenly between `1 - jitter` and 1 of the nominal one, so that many clients do not come
    back in step.
    """
    nominal = min(initial, maximum)
    while True:
        yield nominal * (1.0 - jitter * random.random())
        nominal = min(nominal * multiplier, maximum)
