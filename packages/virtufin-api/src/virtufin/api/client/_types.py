"""The mark of an argument that was not given, where `None` means something of its own."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from typing import Final


class NotGiven(enum.Enum):
    """Type of `NOT_GIVEN`."""

    TOKEN = 0

    def __repr__(self) -> str:
        return "NOT_GIVEN"


NOT_GIVEN: Final = NotGiven.TOKEN

Timeout = float | NotGiven | None
"""Seconds for a call; not given means the client's default, None no deadline."""


Metadata = tuple[tuple[str, "str | bytes"], ...]


ApiKey = str | Callable[[], "str | Awaitable[str]"]
"""An API key, or a function (plain or async) that is asked for the current one at every call."""
