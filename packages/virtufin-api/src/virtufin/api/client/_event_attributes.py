"""Names of CloudEvents attributes, and conversion of their values to protobuf and text.

The rules are those of CloudEvents 1.0, "Naming Conventions" and "Type System", and of the protobuf
format for CloudEvents.
"""

from __future__ import annotations

import base64
import re
from datetime import datetime, timezone
from typing import Any

from virtufin.api.client._validation import require_text, short_repr
from virtufin.api.client.errors import InvalidInputError
from virtufin.api.protos.cloudevents_pb2 import CloudEvent

CONTEXT = frozenset(
    {"id", "source", "type", "specversion", "time", "subject", "datacontenttype", "dataschema"}
)
"""Attributes that CloudEvents itself defines."""

_NAME = re.compile(r"[a-z0-9]+")

ExtensionValue = str | bool | int | bytes | datetime
"""Python types of extension attributes."""


def fits_integer(value: int) -> bool:
    """Returns whether a number fits the CloudEvents type "Integer", which has 32 bits."""
    # Not a `range`, because looking for a number of a subclass of int would visit all of it.
    return -(2**31) <= value < 2**31


def checked_name(name: object, where: str) -> str:
    """Returns `name`, which must be a legal name of an extension attribute.

    Args:
        name: The name to check.
        where: The argument that holds the name, for the error message.

    Raises:
        InvalidInputError: The name is not text, has other characters than lower-case letters and
            digits, or is reserved.
    """
    # "data" is reserved too, because the payload has that name in the JSON format of CloudEvents.
    if not isinstance(name, str):
        raise InvalidInputError(
            f"{where}: attribute names are text, not {type(name).__name__} ({name!r})"
        )
    if name in CONTEXT or name == "data":
        raise InvalidInputError(
            f"{where}: {name!r} is not an extension; use the keyword, or 'ce-{name}' in metadata"
        )
    if not _NAME.fullmatch(name):
        legal = re.sub(r"[^a-z0-9]", "", name.lower())
        advice = f"; {legal!r} would be legal" if legal and legal not in CONTEXT else ""
        raise InvalidInputError(
            f"{where}: {name!r} is not a legal CloudEvents attribute name "
            f"(lower-case letters and digits only){advice}"
        )
    return name


def require_value(value: object, what: str) -> ExtensionValue:
    """Returns `value`, which must be one that an attribute can hold.

    Args:
        value: The Python value.
        what: Name of the attribute, for the error message.

    Raises:
        InvalidInputError: The Python type has no CloudEvents type, or the value does not fit.
    """
    set_value(CloudEvent.CloudEventAttributeValue(), value, what)
    return value  # type: ignore[return-value]


def nanoseconds(text: str, what: str) -> int:
    """Returns a time as nanoseconds since 1970.

    Args:
        text: RFC 3339 text.
        what: Name of the attribute, for the error message.

    Raises:
        InvalidInputError: The text is not RFC 3339.
    """
    attribute = CloudEvent.CloudEventAttributeValue()
    set_time(attribute, text, what)
    count: int = attribute.ce_timestamp.ToNanoseconds()
    return count


def set_value(attribute: Any, value: object, what: str) -> None:
    """Stores a Python value in a CloudEventAttributeValue by the CloudEvents type system.

    Args:
        attribute: The CloudEventAttributeValue.
        value: The Python value.
        what: Name of the attribute, for the error message.

    Raises:
        InvalidInputError: The Python type has no CloudEvents type, or the value does not fit.
    """
    # bool before int, because a bool is an int in Python and a different type in CloudEvents.
    if isinstance(value, bool):
        attribute.ce_boolean = value
    elif isinstance(value, int):
        if not fits_integer(value):
            raise InvalidInputError(
                f"{what}: CloudEvents integers have 32 bits; send {short_repr(value)} as text"
            )
        attribute.ce_integer = value
    elif isinstance(value, bytes):
        attribute.ce_bytes = value
    elif isinstance(value, datetime):
        set_time(attribute, value, what)
    else:
        attribute.ce_string = require_text(value, what)


def set_time(attribute: Any, value: datetime | str, what: str = "time") -> None:
    """Stores a point in time in a CloudEventAttributeValue.

    Args:
        attribute: The CloudEventAttributeValue.
        value: A datetime with time zone or RFC 3339 text.
        what: Name of the attribute, for the error message.

    Raises:
        InvalidInputError: The text is not RFC 3339, or the datetime has no time zone.
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InvalidInputError(f"{what} must have a time zone, not {value!r}")
        try:
            attribute.ce_timestamp.FromDatetime(value.astimezone(timezone.utc))
        except (ValueError, OverflowError) as error:
            raise InvalidInputError(f"{what} is out of range: {value!r}: {error}") from None
    else:
        try:
            attribute.ce_timestamp.FromJsonString(require_text(value, what))
        except ValueError as error:
            raise InvalidInputError(
                f"{what} must be RFC 3339 text such as 2026-01-31T12:00:00Z, not {value!r}: {error}"
            ) from None


def value_of(attribute: Any) -> ExtensionValue | None:
    """Returns the Python value of a CloudEventAttributeValue, or None if no value is set."""
    kind = attribute.WhichOneof("attr")
    if kind is None:
        return None
    if kind == "ce_timestamp":
        return _time_of(attribute)
    value: ExtensionValue = getattr(attribute, kind)
    return value


def text_of(attribute: Any) -> str:
    """Returns a CloudEventAttributeValue in the canonical string form of the CloudEvents types."""
    value = value_of(attribute)
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return str(attribute.ce_timestamp.ToJsonString())
    return str(value)


def _time_of(attribute: Any) -> datetime | str:
    try:
        moment: datetime = attribute.ce_timestamp.ToDatetime(tzinfo=timezone.utc)
    # Text instead of an error, because an event with a time that no datetime can hold must still
    # be readable.
    except (ValueError, OverflowError):
        return f"{attribute.ce_timestamp.seconds}s"
    return moment
