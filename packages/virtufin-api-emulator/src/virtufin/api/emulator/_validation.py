"""Checks of arguments: a wrong type is a TypeError, a wrong value a ValueError, each a sentence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from virtufin.api.client._validation import LARGEST

LONGEST = 10 * 365 * 24 * 3600
"""Seconds of the longest time taken, ten years; gRPC's deadlines end not far above."""


def text(value: object, what: str, *, empty: bool = False) -> str:
    """Returns text that can travel.

    Args:
        value: What was given.
        what: Its name in the error.
        empty: Whether it may be empty.

    Raises:
        TypeError: It is no text.
        ValueError: It is empty, or holds what UTF-8 or the system cannot.
    """
    if not isinstance(value, str):
        raise TypeError(f"{what} is text, got {value!r}")
    if not value and not empty:
        raise ValueError(f"{what} must not be empty")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f"{what} must not hold NUL or lone surrogates, got {value!r}")
    return value


def whole(value: object, what: str, lowest: int, highest: int = LARGEST) -> int:
    """Returns a whole number within these bounds.

    Raises:
        TypeError: It is no whole number.
        ValueError: It is out of the bounds.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{what} is a whole number, got {value!r}")
    if not lowest <= value <= highest:
        raise ValueError(f"{what} is a whole number from {lowest} to {highest}, got {value}")
    return value


def seconds(value: object, what: str, *, zero: bool = False) -> float:
    """Returns a time.

    Args:
        value: What was given.
        what: Its name in the error.
        zero: Whether it may be 0.

    Raises:
        TypeError: It is no number.
        ValueError: It is negative, NaN, more than ten years, or 0 where that is not allowed.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{what} is a number of seconds, got {value!r}")
    if not 0 <= value <= LONGEST or not (value or zero):
        least = "from 0" if zero else "above 0"
        raise ValueError(f"{what} is a number of seconds {least} up to {LONGEST}, got {value}")
    return value


def switch(value: object, what: str) -> bool:
    """Returns True or False.

    Raises:
        TypeError: It is something else.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{what} is True or False, got {value!r}")
    return value


def several(values: object, what: str) -> tuple[Any, ...]:
    """Returns what an iterable has; one text is not several.

    Raises:
        TypeError: It is no iterable, or text or bytes.
    """
    if isinstance(values, (str, bytes, bytearray)) or not isinstance(values, Iterable):
        raise TypeError(f"{what} is an iterable, got {type(values).__name__}")
    return tuple(values)


def api_keys(values: object) -> tuple[str, ...]:
    """Returns keys that a header can carry. The errors do not show them.

    Raises:
        TypeError: They are no iterable of texts.
        ValueError: One is empty, or holds what a header cannot.
    """
    keys = several(values, "api_keys")
    for key in keys:
        if not isinstance(key, str):
            raise TypeError(f"an API key is text, got {type(key).__name__}")
        if not key:
            raise ValueError("an API key must not be empty")
        if key != key.strip() or not all(" " <= character <= "~" for character in key):
            raise ValueError("an API key is printable ASCII without outer spaces")
    return keys
