"""Random identifiers of events and of requests.

Apart from `events`, because publishing needs identifiers faster than `uuid.uuid4` makes them.
"""

from __future__ import annotations

import os

# A block of so many, because a system call for each id costs more than all the rest of making it.
_BLOCK = 64
_VARIANTS = "89ab"


class _Pool:
    """A stock of identifiers, made in blocks."""

    def __init__(self) -> None:
        self._left: list[str] = []
        self._process = 0

    def take(self) -> str:
        """Returns the next identifier."""
        # A forked child drops what it has inherited, because its parent returns the same ones.
        if self._process != os.getpid():
            self._left = []
            self._process = os.getpid()
        while True:
            try:
                # One step, because threads share the pool.
                return self._left.pop()
            except IndexError:
                self._left += _make_block()


def _make_block() -> list[str]:
    digits = os.urandom(16 * _BLOCK).hex()
    block = []
    for start in range(0, len(digits), 32):
        some = digits[start : start + 32]
        variant = _VARIANTS[int(some[16], 16) & 3]
        # Version 4 and variant 10, where RFC 9562 has them.
        block.append(f"{some[:8]}-{some[8:12]}-4{some[13:16]}-{variant}{some[17:20]}-{some[20:]}")
    return block


# Shared by the process although it is state, because an identifier depends on nothing before it.
random_id = _Pool().take
"""Returns a random UUID (RFC 9562, version 4) as text."""
