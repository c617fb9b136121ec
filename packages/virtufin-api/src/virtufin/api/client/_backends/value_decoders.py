"""Converts single JSON values of replies: numbers, texts, bytes, enums, times, and durations."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from virtufin.api.client._protobuf import (
    DURATION,
    FIELD_MASK,
    FLOATS,
    INTEGERS,
    NULL_VALUE,
    TIMESTAMP,
    snake_case,
)

# A microsecond, because datetime and timedelta hold nothing smaller.
_NANOSECONDS = 1000


class MisfitError(Exception):
    """A value does not fit its descriptor."""


def scalar_decoder(descriptor: FieldDescriptor) -> Callable[[Any], Any]:
    """Returns the function that converts the values of a field that is no message."""
    kind = descriptor.cpp_type
    if kind in INTEGERS:
        return _decode_integer
    if kind in FLOATS:
        return partial(_decode_float, single=kind == FieldDescriptor.CPPTYPE_FLOAT)
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return partial(decode_enum, descriptor.enum_type)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return partial(_require, bool)
    if descriptor.type == FieldDescriptor.TYPE_BYTES:
        return _decode_bytes
    return partial(_require, str)


def _require(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise MisfitError
    return value


def _decode_integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise MisfitError
    try:
        number = int(value)
    except (ValueError, OverflowError):
        raise MisfitError from None
    if isinstance(value, float) and number != value:
        raise MisfitError
    return number


def _decode_float(value: Any, *, single: bool) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise MisfitError
    try:
        number = float(value)
        # Rounded to 32 bits, because a generated stub would return that value.
        return float(struct.unpack("f", struct.pack("f", number))[0]) if single else number
    # Too large for the field: a float stays as sent, because it still is a number. Anything else
    # becomes infinity, because it may be too large even for a double.
    except OverflowError:
        return number if isinstance(value, float) else float("inf")
    except ValueError:
        raise MisfitError from None


def _decode_bytes(value: Any) -> bytes:
    text: str = _require(str, value)
    # Both alphabets and missing padding are accepted, because the proto3 JSON mapping demands it.
    standard = text.translate(_URL_SAFE).rstrip("=")
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise MisfitError from None


_URL_SAFE = str.maketrans("-_", "+/")


def decode_enum(kind: Any, value: Any) -> Any:
    """Returns the name of an enum value; a number without a name stays a number."""
    if kind.full_name == NULL_VALUE:
        return None
    if isinstance(value, str):
        # ASCII first, because protobuf fails with a SystemError at text that is no Unicode.
        if not value.isascii() or value not in kind.values_by_name:
            raise MisfitError
        return value
    number = _decode_integer(value)
    known = kind.values_by_number.get(number)
    return number if known is None else known.name


def _decode_timestamp(value: Any) -> datetime | str:
    """Returns a datetime in UTC, or the text as sent if microseconds cannot hold the time."""
    moment = Timestamp()
    _parse(moment, value)
    if moment.nanos % _NANOSECONDS:
        return str(value)
    return moment.ToDatetime(tzinfo=timezone.utc)


def _decode_duration(value: Any) -> timedelta | str:
    """Returns a timedelta, or the text as sent if microseconds cannot hold the duration."""
    time = Duration()
    _parse(time, value)
    if time.nanos % _NANOSECONDS:
        return str(value)
    return time.ToTimedelta()


def _parse(message: Any, value: Any) -> None:
    try:
        message.FromJsonString(_require(str, value))
    except ValueError:
        raise MisfitError from None


def _decode_field_mask(value: Any) -> list[str]:
    """Returns the paths of a field mask, in proto names."""
    text: str = _require(str, value)
    return [snake_case(path) for path in text.split(",")] if text else []


WELL_KNOWN: dict[str, Callable[[Any], Any]] = {
    TIMESTAMP: _decode_timestamp,
    DURATION: _decode_duration,
    FIELD_MASK: _decode_field_mask,
}
