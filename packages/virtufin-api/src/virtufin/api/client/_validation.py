"""Validators of arguments and settings: each returns the value or raises `InvalidInputError`."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from typing import Any, TypeVar

from virtufin.api.client.errors import InvalidInputError

Settings = TypeVar("Settings")


def short_repr(value: object) -> str:
    """Returns a short representation of any value, even if its `repr` is huge or fails."""
    # Any failure is ignored, because the error that needs this text matters more.
    try:
        return reprlib.repr(value)
    except Exception:  # noqa: BLE001 - because a `repr` may raise anything
        return f"<{type(value).__name__}>"


LONGEST = 10 * 365 * 24 * 3600.0
"""Ten years in seconds, the largest time that a setting accepts.

A longer timeout of a call is accepted and means no deadline.
"""

LARGEST = 2**31 - 1
"""Largest number in 32 bits, the limit of protobuf's int32 and of gRPC's options."""


def require_positive(name: str, value: float, most: float = LONGEST) -> float:
    """Returns `value`, a number above zero and at most `most`.

    Args:
        name: Name of the argument, for the error message.
        value: The value to check.
        most: Largest accepted number.

    Raises:
        InvalidInputError: The value is not such a number.
    """
    # bool is excluded, because True is an int in Python and `timeout=True` is a mistake. NaN fails
    # the comparison.
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 < value <= most:
        raise InvalidInputError(
            f"{name} must be a number above zero, {most:g} at most, not {short_repr(value)}"
        )
    return value


def require_whole(name: str, value: object, lowest: int, highest: int = LARGEST) -> int:
    """Returns `value`, a whole number between `lowest` and `highest`.

    Args:
        name: Name of the argument, for the error message.
        value: The value to check.
        lowest: Smallest accepted number.
        highest: Largest accepted number.

    Raises:
        InvalidInputError: The value is not such a number.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise InvalidInputError(
            f"{name} must be a whole number from {lowest} to {highest}, not {short_repr(value)}"
        )
    return value


def require_bool(value: object, what: str) -> bool:
    """Returns `value`, which must be True or False.

    Args:
        value: The value to check.
        what: Name of the argument, for the error message.

    Raises:
        InvalidInputError: The value is something else.
    """
    if not isinstance(value, bool):
        raise InvalidInputError(f"{what} must be True or False, not {short_repr(value)}")
    return value


def require_one_of(value: Any, what: str, legal: tuple[str, ...]) -> Any:
    """Returns `value`, which must be one of the legal texts.

    Args:
        value: The value to check.
        what: Name of the argument, for the error message.
        legal: The legal values.

    Raises:
        InvalidInputError: The value is something else.
    """
    if value not in legal:
        raise InvalidInputError(
            f"{what} must be one of {', '.join(legal)}, not {short_repr(value)}"
        )
    return value


def require_settings(value: object, what: str, kind: type[Settings]) -> Settings:
    """Returns `value`, which must be an instance of `kind`; for None, a new `kind()`.

    Args:
        value: The settings to check.
        what: Name of the argument, for the error message.
        kind: Class of the settings.

    Raises:
        InvalidInputError: The value is of another class.
    """
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise InvalidInputError(f"{what} must be {kind.__name__}, not {short_repr(value)}")
    return value


def require_timeout(value: float | None) -> float | None:
    """Returns a timeout in seconds, or None for no deadline.

    Args:
        value: Seconds. None, infinity and any time longer than ten years mean no deadline.

    Raises:
        InvalidInputError: The value is not a number, is negative, or is NaN.
    """
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value >= 0:
        raise InvalidInputError(
            f"timeout must be a number of seconds or None (no deadline), not {short_repr(value)}"
        )
    return None if value > LONGEST else float(value)


def require_api_key(api_key: object, what: str = "api_key") -> str:
    """Returns `api_key`, which must be a key or token that can be sent in a header.

    Args:
        api_key: The key to check.
        what: Name of the argument, for the error message.

    Raises:
        InvalidInputError: The key is not text, is empty, or has characters that a header cannot
            hold.
    """
    # The errors name the type only, because they must not show the key.
    if not isinstance(api_key, str):
        raise InvalidInputError(f"{what} must be text or a function, not {type(api_key).__name__}")
    printable = all(" " <= character <= "~" for character in api_key)
    if not api_key or not printable or api_key != api_key.strip():
        raise InvalidInputError(f"{what} must be printable ASCII, not empty, without outer spaces")
    return api_key


def require_text(value: object, what: str) -> str:
    """Returns `value`, which must be text that protobuf can hold.

    Args:
        value: The value to check.
        what: Name of the argument, for the error message.

    Raises:
        InvalidInputError: The value is not text, or contains a lone surrogate.
    """
    if not isinstance(value, str):
        raise InvalidInputError(
            f"{what} must be text, not {type(value).__name__} ({short_repr(value)})"
        )
    # Encoded as a check, because protobuf texts are UTF-8, which has no lone surrogates.
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidInputError(f"{what} is not valid Unicode text: {short_repr(value)}") from None
    return value


def require_name(value: object, what: str) -> str:
    """Returns `value`, which must be text that is not empty.

    Args:
        value: The value to check.
        what: Name of the argument, for the error message.

    Raises:
        InvalidInputError: The value is not text, or is empty.
    """
    # Returned at once, because nearly every name is plain ASCII, which needs no further check.
    if isinstance(value, str) and value and value.isascii():
        return value
    text = require_text(value, what)
    if not text:
        raise InvalidInputError(f"{what} must not be empty")
    return text


def require_names(values: object, what: str) -> tuple[str, ...]:
    """Returns names as a tuple of texts that are not empty.

    Args:
        values: A name, several names, or None for no names.
        what: Name of the argument, for the error message.

    Raises:
        InvalidInputError: A value is not text, or is empty.
    """
    if values is None:
        return ()
    # A bare text is a single name, because iterating it would yield its letters.
    if isinstance(values, str):
        return (require_name(values, what),)
    if isinstance(values, (bytes, bytearray)) or not isinstance(values, Iterable):
        raise InvalidInputError(f"{what} must be text or several texts, not {short_repr(values)}")
    return tuple(require_name(value, what) for value in values)
