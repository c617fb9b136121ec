"""Conversion of a reply's JSON to Python values, complete and typed by the reply's descriptor.

The gateway leaves out fields that have their default value. JSON has neither bytes nor 64-bit
integers (proto3 JSON mapping). The result holds every field under its proto name:

- Scalars that were not sent have their default; lists and maps are empty.
- A message or optional field that is not set is None.
- A member of a oneof that is not set is absent.
- A field that the descriptor does not have, or a value that does not fit, stays as it was sent.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from virtufin.api.client._protobuf import (
    ANY,
    DURATION,
    FIELD_MASK,
    FLOATS,
    INTEGERS,
    JSON_TYPES,
    NULL_VALUE,
    TIMESTAMP,
    VALUE,
    WRAPPERS,
    Field,
    fields_of,
    message_type,
    snake_case,
)

# An object of its own, because None is a legal value in JSON.
_MISSING = object()
# At most this many paths, because every item of a long list may fail to fit.
_MAX_REPORTED = 20
# Nested pairs instead of text, because a text for each value would cost time in replies that fit.
Path = tuple[Any, ...]
"""Position of a value: empty for the reply itself, else a pair of the parent's path and a name."""
# A microsecond, because datetime and timedelta hold nothing smaller.
_NANOSECONDS = 1000


class _MisfitError(Exception):
    """A value does not fit its descriptor."""


class ReplyDecoder:
    """Converts replies. One decoder serves one descriptor pool, as it caches fields by name."""

    def __init__(self) -> None:
        # Cached by message name, because finding the optional fields copies the whole descriptor.
        self._fields: dict[str, tuple[_Target, ...]] = {}

    def complete(self, message: Descriptor, value: Any) -> tuple[Any, list[str]]:
        """Returns the Python value of a message's JSON, and the paths of values that do not fit.

        Args:
            message: Descriptor of the message.
            value: The parsed JSON.
        """
        misfits: list[Path] = []
        result = self._decode_message(message, value, (), misfits)
        return result, [_path_text(path) for path in misfits[:_MAX_REPORTED]]

    def _decode_message(
        self, message: Descriptor, value: Any, path: Path, misfits: list[Path]
    ) -> Any:
        name = message.full_name
        try:
            if name in _WELL_KNOWN:
                return _WELL_KNOWN[name](value)
            if name in WRAPPERS:
                return (
                    None
                    if value is None
                    else _decode_scalar(message.fields_by_name["value"], value)
                )
        # Kept as sent, because the backend may have changed since its descriptors were fetched.
        except _MisfitError:
            misfits.append(path)
            return value
        if name in JSON_TYPES:
            return value
        if not isinstance(value, dict):
            misfits.append(path)
            return value
        if name == ANY:
            return self._decode_any(message, value, path, misfits)
        return self._decode_object(message, value, path, misfits)

    def _decode_object(
        self, message: Descriptor, value: dict[str, Any], path: Path, misfits: list[Path]
    ) -> dict[str, Any]:
        left = dict(value)
        result: dict[str, Any] = {}
        for target in self._targets(message):
            field, name = target.field, target.name
            # Both names are read, because a proto3 JSON writer may use either.
            sent = left.pop(name, _MISSING)
            if sent is _MISSING:
                sent = left.pop(target.json_name, _MISSING)
            # Taken at once, because most values are texts and numbers that need no conversion.
            if type(sent) is target.plain:
                result[name] = sent
            # JSON null means "not set" (proto3 JSON mapping), except for types whose value is null.
            elif sent is not _MISSING and (sent is not None or field.kind in (VALUE, NULL_VALUE)):
                result[name] = self._decode_field(field, sent, (path, name), misfits)
            elif not field.in_oneof:
                make = target.container
                result[name] = target.default if make is None else make()
        for key, sent in left.items():
            misfits.append((path, key))
            result.setdefault(key, sent)
        return result

    def _decode_field(self, field: Field, value: Any, path: Path, misfits: list[Path]) -> Any:
        if field.value is not None:
            if isinstance(value, dict):
                entry = field.value
                return {
                    key: self._decode_single(entry, item, (path, key), misfits)
                    for key, item in value.items()
                }
        elif not field.repeated:
            return self._decode_single(field.descriptor, value, path, misfits)
        elif isinstance(value, list):
            return [self._decode_single(field.descriptor, item, path, misfits) for item in value]
        misfits.append(path)
        return value

    def _decode_single(
        self, descriptor: FieldDescriptor, value: Any, path: Path, misfits: list[Path]
    ) -> Any:
        if descriptor.message_type is not None:
            return self._decode_message(message_type(descriptor), value, path, misfits)
        try:
            return _decode_scalar(descriptor, value)
        except _MisfitError:
            misfits.append(path)
            return value

    def _decode_any(
        self, message: Descriptor, value: dict[str, Any], path: Path, misfits: list[Path]
    ) -> dict[str, Any]:
        """Returns an Any with its `@type`; the content is completed if the pool knows the type."""
        url = value.get("@type")
        name = url.rpartition("/")[2] if isinstance(url, str) else ""
        try:
            held = message.file.pool.FindMessageTypeByName(name)
        # Kept as sent, because an Any may hold a type of another service, or no type name at all.
        except (KeyError, TypeError, ValueError):
            return value
        if name in _WELL_KNOWN or name in WRAPPERS or name in JSON_TYPES or name == ANY:
            inner = self._decode_message(held, value.get("value"), (path, "value"), misfits)
            return {**value, "value": inner}
        rest = {key: item for key, item in value.items() if key != "@type"}
        # Some writers treat Empty as a well-known type, whose JSON is under "value".
        if not held.fields and rest == {"value": {}}:
            rest = {}
        return {"@type": url, **self._decode_message(held, rest, path, misfits)}

    def _targets(self, message: Descriptor) -> tuple[_Target, ...]:
        known = self._fields.get(message.full_name)
        if known is None:
            known = self._fields[message.full_name] = tuple(map(_target, fields_of(message)))
        return known


def _path_text(path: Path) -> str:
    names = []
    while path:
        path, name = path
        names.append(f".{name}")
    return "".join(reversed(names))


class _Target(NamedTuple):
    """A field of a reply, with properties that are computed once to decode replies fast."""

    field: Field
    name: str
    json_name: str
    plain: type | None
    """Type of the JSON values that need no conversion; None if every value is converted."""
    container: Callable[[], Any] | None
    """For a list or map, the function that makes the empty value; None for other fields."""
    default: Any
    """Value if a field that is no list or map was not sent."""


def _target(field: Field) -> _Target:
    descriptor = field.descriptor
    container = dict if field.value is not None else list if field.repeated else None
    plain = None if container else _PLAIN.get(descriptor.cpp_type)
    if descriptor.type == FieldDescriptor.TYPE_BYTES:
        plain = None
    default = None
    if container is None and not descriptor.has_presence and field.kind != NULL_VALUE:
        default = descriptor.default_value
        if descriptor.enum_type is not None:
            default = _decode_enum(descriptor, default)
    return _Target(field, field.name, field.json_name, plain, container, default)


_PLAIN: dict[int, type] = {
    **dict.fromkeys(INTEGERS, int),
    FieldDescriptor.CPPTYPE_DOUBLE: float,
    FieldDescriptor.CPPTYPE_BOOL: bool,
    FieldDescriptor.CPPTYPE_STRING: str,
}


def _decode_scalar(descriptor: FieldDescriptor, value: Any) -> Any:
    kind = descriptor.cpp_type
    if kind in INTEGERS:
        return _decode_integer(value)
    if kind in FLOATS:
        return _decode_float(value, single=kind == FieldDescriptor.CPPTYPE_FLOAT)
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return _decode_enum(descriptor, value)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return _require(bool, value)
    text: str = _require(str, value)
    return _decode_bytes(text) if descriptor.type == FieldDescriptor.TYPE_BYTES else text


def _require(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise _MisfitError
    return value


def _decode_integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise _MisfitError
    try:
        number = int(value)
    except (ValueError, OverflowError):
        raise _MisfitError from None
    if isinstance(value, float) and number != value:
        raise _MisfitError
    return number


def _decode_float(value: Any, *, single: bool) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise _MisfitError
    try:
        number = float(value)
        # Rounded to 32 bits, because a generated stub would return that value.
        return float(struct.unpack("f", struct.pack("f", number))[0]) if single else number
    # Too large for the field: a float stays as sent, because it still is a number. Anything else
    # becomes infinity, because it may be too large even for a double.
    except OverflowError:
        return number if isinstance(value, float) else float("inf")
    except ValueError:
        raise _MisfitError from None


def _decode_bytes(text: str) -> bytes:
    # Both alphabets and missing padding are accepted, because the proto3 JSON mapping demands it.
    standard = text.translate(_URL_SAFE).rstrip("=")
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise _MisfitError from None


_URL_SAFE = str.maketrans("-_", "+/")


def _decode_enum(descriptor: FieldDescriptor, value: Any) -> Any:
    """Returns the name of an enum value; a number without a name stays a number."""
    kind: Any = descriptor.enum_type
    if kind.full_name == NULL_VALUE:
        return None
    if isinstance(value, str):
        if value not in kind.values_by_name:
            raise _MisfitError
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
        raise _MisfitError from None


def _decode_field_mask(value: Any) -> list[str]:
    """Returns the paths of a field mask, in proto names."""
    text: str = _require(str, value)
    return [snake_case(path) for path in text.split(",")] if text else []


_WELL_KNOWN: dict[str, Callable[[Any], Any]] = {
    TIMESTAMP: _decode_timestamp,
    DURATION: _decode_duration,
    FIELD_MASK: _decode_field_mask,
}
