"""Checks of numbers and keys, as settings and calls need them."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable

from virtufin.api.client.errors import InvalidInputError


def short_repr(value: object) -> str:
    """A short representation of any value, also of one whose `repr` is huge or fails."""
    try:
        return reprlib.repr(value)
    except Exception:  # noqa: BLE001 - whatever it is, it is only to be named
        return f"<{type(value).__name__}>"


LONGEST = 10 * 365 * 24 * 3600.0
"""Seconds of the longest time that counts as one; what is longer means without end."""

LARGEST = 2**31 - 1
"""The largest number in 32 bits, of protobuf's int32 and gRPC's options."""


def require_positive(name: str, value: float, most: float = LONGEST) -> float:
    """Returns `value` where it is a number above zero, `most` at most.

    Raises:
        InvalidInputError: It is not.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 < value <= most:
        raise InvalidInputError(
            f"{name} must be a number above zero, {most:g} at most, not {short_repr(value)}"
        )
    return value


def require_whole(name: str, value: object, lowest: int, highest: int = LARGEST) -> int:
    """Returns `value` where it is a whole number within these bounds.

    Raises:
        InvalidInputError: It is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise InvalidInputError(
            f"{name} must be a whole number from {lowest} to {highest}, not {short_repr(value)}"
        )
    return value


def require_bool(value: object, what: str) -> bool:
    """Returns `value` where it is True or False.

    Raises:
        InvalidInputError: It is something else.
    """
    if not isinstance(value, bool):
        raise InvalidInputError(f"{what} must be True or False, not {short_repr(value)}")
    return value


def require_timeout(value: float | None) -> float | None:
    """Returns a timeout in seconds as it can be used.

    None, infinity and whatever is longer than ten years mean no deadline.

    Raises:
        InvalidInputError: It is not a number, negative, or NaN.
    """
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value >= 0:
        raise InvalidInputError(
            f"timeout must be a number of seconds or None (no deadline), not {short_repr(value)}"
        )
    return None if value > LONGEST else float(value)


def require_api_key(api_key: object, what: str = "api_key") -> str:
    """Returns an API key or token that can travel in a header; `what` names it in the error.

    Raises:
        InvalidInputError: It is no text, empty, or holds characters a header cannot.
    """
    if not isinstance(api_key, str):
        raise InvalidInputError(f"{what} must be text or a function, not {type(api_key).__name__}")
    printable = all(" " <= character <= "~" for character in api_key)
    if not api_key or not printable or api_key != api_key.strip():
        raise InvalidInputError(f"{what} must be printable ASCII, not empty, without outer spaces")
    return api_key


def require_text(value: object, what: str) -> str:
    """Returns a text that protobuf can carry.

    Raises:
        InvalidInputError: It is no text, or holds a lone surrogate.
    """
    if not isinstance(value, str):
        raise InvalidInputError(
            f"{what} must be text, not {type(value).__name__} ({short_repr(value)})"
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidInputError(f"{what} is not valid Unicode text: {short_repr(value)}") from None
    return value


def require_name(value: object, what: str) -> str:
    """Returns a name: text that is not empty.

    Raises:
        InvalidInputError: It is no text, or empty.
    """
    text = require_text(value, what)
    if not text:
        raise InvalidInputError(f"{what} must not be empty")
    return text


def require_names(values: object, what: str) -> tuple[str, ...]:
    """Returns names; one text is one name, never its letters.

    Raises:
        InvalidInputError: Something among them is no text, or empty.
    """
    if values is None:
        return ()
    if isinstance(values, str):
        return (require_name(values, what),)
    if isinstance(values, (bytes, bytearray)) or not isinstance(values, Iterable):
        raise InvalidInputError(f"{what} must be text or several texts, not {short_repr(values)}")
    return tuple(require_name(value, what) for value in values)
