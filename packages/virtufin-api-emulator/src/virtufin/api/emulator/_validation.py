"""Checks of arguments. A wrong type raises TypeError, and a wrong value raises ValueError.

Each check returns the value that it has checked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from virtufin.api.client._validation import LARGEST

# Ten years, because gRPC's deadlines overflow not far above that.
LONGEST = 10 * 365 * 24 * 3600
"""Longest accepted time in seconds."""


def require_text(value: object, what: str, *, empty: bool = False) -> str:
    """Verifies that a value is text that can be sent, and returns the text.

    Args:
        value: Value to check.
        what: Name of the value in error texts.
        empty: True if empty text is accepted.

    Raises:
        TypeError: The value is not text.
        ValueError: The text is empty without `empty`, or contains NUL or lone surrogates.
    """
    if not isinstance(value, str):
        raise TypeError(f"{what} is text, got {value!r}")
    if not value and not empty:
        raise ValueError(f"{what} must not be empty")
    # UTF-8 cannot encode lone surrogates, and texts for the system cannot contain NUL.
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f"{what} must not hold NUL or lone surrogates, got {value!r}")
    return value


def require_whole(value: object, what: str, lowest: int, highest: int = LARGEST) -> int:
    """Verifies that a value is a whole number in a range, and returns the number.

    Args:
        value: Value to check.
        what: Name of the value in error texts.
        lowest: Smallest accepted number.
        highest: Largest accepted number. If omitted, the largest number of 32 bits.

    Raises:
        TypeError: The value is not a whole number.
        ValueError: The number is out of its range.
    """
    # Booleans are rejected, because True would otherwise count as 1.
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{what} is a whole number, got {value!r}")
    if not lowest <= value <= highest:
        raise ValueError(f"{what} is a whole number from {lowest} to {highest}, got {value}")
    return value


def require_seconds(value: object, what: str, *, zero: bool = False) -> float:
    """Verifies that a value is a time in seconds, and returns the time.

    Args:
        value: Value to check.
        what: Name of the value in error texts.
        zero: True if 0 is accepted.

    Raises:
        TypeError: The value is not a number.
        ValueError: The number is negative, NaN, more than ten years, or 0 without `zero`.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{what} is a number of seconds, got {value!r}")
    if not 0 <= value <= LONGEST or not (value or zero):
        least = "from 0" if zero else "above 0"
        raise ValueError(f"{what} is a number of seconds {least} up to {LONGEST}, got {value}")
    return value


def require_bool(value: object, what: str) -> bool:
    """Verifies that a value is True or False, and returns the value.

    Args:
        value: Value to check.
        what: Name of the value in error texts.

    Raises:
        TypeError: The value is neither True nor False.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{what} is True or False, got {value!r}")
    return value


def require_items(values: object, what: str) -> tuple[Any, ...]:
    """Verifies that a value is an iterable of items, and returns the items as a tuple.

    Args:
        values: Iterable to check.
        what: Name of the iterable in error texts.

    Raises:
        TypeError: The value is not an iterable, or is text or bytes.
    """
    # Text is rejected, because its letters would otherwise be taken for the items.
    if isinstance(values, (str, bytes, bytearray)) or not isinstance(values, Iterable):
        raise TypeError(f"{what} is an iterable, got {type(values).__name__}")
    return tuple(values)


def require_api_keys(values: object) -> tuple[str, ...]:
    """Verifies that values are API keys, and returns the keys.

    Args:
        values: Iterable to check.

    Raises:
        TypeError: `values` is not an iterable of texts.
        ValueError: A key is empty, or contains characters that a header cannot carry.
    """
    # The errors do not contain the keys, because error texts end up in logs.
    keys = require_items(values, "api_keys")
    for key in keys:
        if not isinstance(key, str):
            raise TypeError(f"an API key is text, got {type(key).__name__}")
        if not key:
            raise ValueError("an API key must not be empty")
        if key != key.strip() or not all(" " <= character <= "~" for character in key):
            raise ValueError("an API key is printable ASCII without outer spaces")
    return keys
