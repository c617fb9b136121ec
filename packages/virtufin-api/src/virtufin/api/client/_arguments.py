"""Checks of arguments that several parts take."""

from __future__ import annotations

from collections.abc import Iterable

from virtufin.api.client._attributes import checked_text
from virtufin.api.client._shown import shown
from virtufin.api.client.errors import InvalidInputError


def name(value: object, what: str) -> str:
    """Returns a name: text that is not empty.

    Raises:
        InvalidInputError: It is no text, or empty.
    """
    text = checked_text(value, what)
    if not text:
        raise InvalidInputError(f"{what} must not be empty")
    return text


def names(values: object, what: str) -> tuple[str, ...]:
    """Returns names; one text is one name, never its letters.

    Raises:
        InvalidInputError: Something among them is no text, or empty.
    """
    if values is None:
        return ()
    if isinstance(values, str):
        return (name(values, what),)
    if isinstance(values, (bytes, bytearray)) or not isinstance(values, Iterable):
        raise InvalidInputError(f"{what} must be text or several texts, not {shown(values)}")
    return tuple(name(value, what) for value in values)
