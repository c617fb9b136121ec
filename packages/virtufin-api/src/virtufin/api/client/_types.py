"""Types of arguments, and the marker of an argument that was not given.

Apart, because modules of all layers need them.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from typing import Any, Final


class NotGiven(enum.Enum):
    """The type of `NOT_GIVEN`."""

    # A marker of its own, because None is a legal argument: no deadline, or no API key. The marker
    # is an enum, because type checkers know that an enum with one member has one value.

    TOKEN = 0

    def __repr__(self) -> str:
        return "NOT_GIVEN"


NOT_GIVEN: Final = NotGiven.TOKEN

Timeout = float | NotGiven | None
"""Seconds for a call. `NOT_GIVEN` means the client's default; None means no deadline."""


Metadata = tuple[tuple[str, "str | bytes"], ...]


Request = Any
"""A mapping of the request's fields, a dataclass, a protobuf message, or None."""


ApiKey = str | Callable[[], "str | Awaitable[str]"]
"""An API key, or a function (plain or async) that returns the current key at every call."""
