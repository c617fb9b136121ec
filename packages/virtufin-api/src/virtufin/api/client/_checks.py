"""Checks of numbers and keys, as settings and calls need them."""

from __future__ import annotations

from virtufin.api.client._shown import shown
from virtufin.api.client.errors import InvalidInputError

LONGEST = 10 * 365 * 24 * 3600.0
"""Seconds of the longest time that counts as one; what is longer means without end."""

LARGEST = 2**31 - 1
"""The largest number in 32 bits, of protobuf's int32 and gRPC's options."""


def positive(name: str, value: float, most: float = LONGEST) -> float:
    """Returns `value` where it is a number above zero, `most` at most.

    Raises:
        InvalidInputError: It is not.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 < value <= most:
        raise InvalidInputError(
            f"{name} must be a number above zero, {most:g} at most, not {shown(value)}"
        )
    return value


def whole(name: str, value: object, lowest: int, highest: int = LARGEST) -> int:
    """Returns `value` where it is a whole number within these bounds.

    Raises:
        InvalidInputError: It is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise InvalidInputError(
            f"{name} must be a whole number from {lowest} to {highest}, not {shown(value)}"
        )
    return value


def switch(value: object, what: str) -> bool:
    """Returns `value` where it is True or False.

    Raises:
        InvalidInputError: It is something else.
    """
    if not isinstance(value, bool):
        raise InvalidInputError(f"{what} must be True or False, not {shown(value)}")
    return value


def timeout_or_none(value: float | None) -> float | None:
    """Returns a timeout in seconds as it can be used.

    None, infinity and whatever is longer than ten years mean no deadline.

    Raises:
        InvalidInputError: It is not a number, negative, or NaN.
    """
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value >= 0:
        raise InvalidInputError(
            f"timeout must be a number of seconds or None (no deadline), not {shown(value)}"
        )
    return None if value > LONGEST else float(value)


def checked_api_key(api_key: object, what: str = "api_key") -> str:
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
