"""Conversion of Python values, such as bytes or datetime, to the proto3 JSON of a request.

If the method's descriptor is known, each value is written for the type of its field. Otherwise the
rules below apply. They follow the proto3 JSON mapping for the types that the mapping covers.

| Python | JSON |
| --- | --- |
| bytes | base64 text; for a text field, the bytes decoded as UTF-8 |
| datetime with zone | RFC 3339 text in UTC |
| date, UUID, Decimal | text |
| timedelta | seconds as text, `1.5s` |
| enum member | the member's name if the field's enum has that name; otherwise the member's value if
that is a number or text; otherwise the name |
| int | number; text if a double cannot hold the number |
| NaN, infinity | `"NaN"`, `"Infinity"`, `"-Infinity"` |
| dataclass, protobuf message | an object of its fields |
| set, frozenset, tuple | list |
| keys that are bool or int | text |
"""

from __future__ import annotations

import base64
import dataclasses
import enum
import json
import math
import numbers
import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from virtufin.api.client._protobuf import (
    ANY,
    DURATION,
    FIELD_MASK,
    FLOATS,
    JSON_TYPES,
    TIMESTAMP,
    WRAPPERS,
    Field,
    by_any_name,
    fields_of,
    kind_of,
    message_type,
    snake_case,
)
from virtufin.api.client._validation import require_text, short_repr
from virtufin.api.client.errors import InvalidInputError

# Beyond that, JSON readers that use doubles lose digits, so larger numbers are written as text.
_EXACT = 2**53
_SPECIAL = JSON_TYPES | WRAPPERS | {ANY, TIMESTAMP, DURATION, FIELD_MASK}
"""Messages whose JSON is not an object of their fields."""
_BYTES = (bytes, bytearray, memoryview)


class RequestEncoder:
    """Writes requests as JSON. One encoder serves one descriptor pool, as it caches by name."""

    def __init__(self) -> None:
        # Cached by message name, because finding the optional fields copies the whole descriptor.
        self._fields: dict[str, dict[str, Field]] = {}

    def encode(self, request: object, message: Descriptor | None = None) -> str:
        """Returns the JSON text of a request.

        Args:
            request: A mapping, a dataclass, a protobuf message, or None for an empty request.
            message: Descriptor of the request; None if the descriptor is not known.

        Raises:
            InvalidInputError: JSON cannot hold the request; the error names the position.
        """
        if request is None:
            return "{}"
        if not is_object(request):
            raise InvalidInputError(
                "request_data must be a dict of the request's fields (or a dataclass, or a "
                f"message), not {short_repr(request)}"
            )
        try:
            value = self._encode_message(message, request, "request")
            text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        except RecursionError:
            raise InvalidInputError(
                "request cannot be sent as JSON: it is nested too deeply, or contains itself"
            ) from None
        except InvalidInputError:
            raise
        except (ValueError, OverflowError, ArithmeticError) as error:
            raise InvalidInputError(f"request cannot be sent as JSON: {error}") from None
        return require_text(text, "request")

    def known(self, message: Descriptor) -> dict[str, Field]:
        """Returns the fields of a message, each under its proto name and its JSON name."""
        found = self._fields.get(message.full_name)
        if found is None:
            found = by_any_name(tuple(fields_of(message)))
            self._fields[message.full_name] = found
        return found

    def _encode_message(self, message: Descriptor | None, value: object, where: str) -> Any:
        if message is None or value is None:
            return _encode_value(value, where)
        name = message.full_name
        # Not exact: large numbers stay numbers, because the field holds any JSON, so the backend
        # would not convert text back to a number.
        if name in JSON_TYPES:
            return _encode_value(value, where, exact=False)
        if name in WRAPPERS:
            return self._encode_single(message.fields_by_name["value"], value, where)
        if name == FIELD_MASK and isinstance(value, (list, tuple)):
            return ",".join(_to_camel_case(path, where) for path in value)
        if name == ANY and isinstance(value, Message) and value.DESCRIPTOR.full_name != ANY:
            kind = f"type.googleapis.com/{value.DESCRIPTOR.full_name}"
            held, special = _encode_protobuf(value), value.DESCRIPTOR.full_name in _SPECIAL
            return {"@type": kind, **({"value": held} if special else held)}
        if isinstance(value, Message) or not is_object(value):
            return _encode_value(value, where)
        given = as_object(value)
        known = self.known(message)
        # Keys of the same field are sent as given, because the gateway decides which key counts.
        repeated = _repeated_keys(given, known)
        result = {}
        for key, item in given.items():
            text = _encode_key(key, where)
            field = known.get(text)
            inside = f"{where}[{text!r}]"
            # Unknown fields are sent too, because the gateway may be newer than the descriptor.
            if field is None or text in repeated:
                result[text] = _encode_value(item, inside)
            else:
                result[field.name] = self._encode_field(field, item, inside)
        return result

    def _encode_field(self, field: Field, value: object, where: str) -> Any:
        if field.value is not None and isinstance(value, Mapping):
            entry = field.value
            return _encode_map(value, where, lambda item, at: self._encode_single(entry, item, at))
        if field.repeated and isinstance(value, (list, tuple, set, frozenset)):
            return [
                self._encode_single(field.descriptor, item, f"{where}[{index}]")
                for index, item in enumerate(value)
            ]
        if field.repeated or field.value is not None:
            return _encode_value(value, where)
        return self._encode_single(field.descriptor, value, where)

    def _encode_single(self, descriptor: FieldDescriptor, value: object, where: str) -> Any:
        if descriptor.message_type is not None:
            return self._encode_message(message_type(descriptor), value, where)
        if isinstance(value, enum.Enum) and kind_of(descriptor):
            kind: Any = descriptor.enum_type
            if value.name in kind.values_by_name:
                return value.name
        if isinstance(value, _BYTES) and descriptor.type == FieldDescriptor.TYPE_STRING:
            try:
                return bytes(value).decode()
            except UnicodeDecodeError:
                raise InvalidInputError(
                    f"{where}: {descriptor.name!r} takes text, and these bytes are not UTF-8"
                ) from None
        # Not exact: large numbers stay numbers, because a field of floats loses the digits anyway.
        if isinstance(value, int) and descriptor.cpp_type in FLOATS:
            return _encode_value(value, where, exact=False)
        return _encode_value(value, where)


def _encode_value(value: object, where: str, *, exact: bool = True) -> Any:
    """Returns a value that JSON can hold, by the rules in the docstring of this module.

    Args:
        value: The Python value.
        where: Position of the value, for the error message.
        exact: True writes an int that a double cannot hold as text, False as a number.

    Raises:
        InvalidInputError: There is no rule for the type of the value.
    """
    if value is None or isinstance(value, bool):
        return value
    # Before text and numbers, because members of IntEnum and StrEnum are instances of those too.
    if isinstance(value, enum.Enum):
        held = value.value
        return _encode_value(held, where) if isinstance(held, (int, str)) else value.name
    if isinstance(value, str):
        return str(value)
    if isinstance(value, _SCALARS):
        return _encode_scalar(value, where, exact=exact)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [
            _encode_value(item, f"{where}[{index}]", exact=exact)
            for index, item in enumerate(value)
        ]
    if isinstance(value, Message):
        return _encode_protobuf(value)
    if is_object(value):
        return _encode_map(
            as_object(value), where, lambda item, at: _encode_value(item, at, exact=exact)
        )
    raise InvalidInputError(
        f"request cannot be sent as JSON: {where} is {short_repr(value)}, and there is no rule for "
        f"{type(value).__name__}"
    )


_SCALARS = (*_BYTES, numbers.Real, Decimal, datetime, date, timedelta, uuid.UUID)


def _encode_scalar(value: Any, where: str, *, exact: bool) -> Any:
    if isinstance(value, _BYTES):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, numbers.Integral):
        whole = int(value)
        return str(whole) if exact and abs(whole) > _EXACT else whole
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise InvalidInputError(f"{where} must have a time zone, not {value!r}")
        moment = value.astimezone(timezone.utc).replace(tzinfo=None)
        return f"{moment.isoformat()}Z"
    if isinstance(value, timedelta):
        return _encode_duration(value)
    if isinstance(value, numbers.Real):
        number = float(value)
        if math.isfinite(number):
            return number
        return "NaN" if math.isnan(number) else ("Infinity" if number > 0 else "-Infinity")
    return str(value)


def _encode_duration(time: timedelta) -> str:
    microseconds = time // timedelta(microseconds=1)
    sign = "-" if microseconds < 0 else ""
    whole, part = divmod(abs(microseconds), 1_000_000)
    return f"{sign}{whole}.{part:06}s" if part else f"{sign}{whole}s"


def _encode_map(
    value: Mapping[Any, Any], where: str, written: Callable[[object, str], Any]
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, item in value.items():
        text = _encode_key(key, where)
        if text in result:
            raise InvalidInputError(f"{where} has two keys that are sent as {text!r}")
        result[text] = written(item, f"{where}[{key!r}]")
    return result


def _encode_key(key: object, where: str) -> str:
    if isinstance(key, str):
        return str(key.value) if isinstance(key, enum.Enum) else key
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int):
        return str(int(key))
    raise InvalidInputError(
        f"request cannot be sent as JSON: keys of {where} are text, "
        f"not {type(key).__name__} ({short_repr(key)})"
    )


def is_object(value: object) -> bool:
    """Returns True if a value is sent as an object of fields."""
    if isinstance(value, (Mapping, Message)):
        return True
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def as_object(value: Any) -> Mapping[Any, Any]:
    """Returns the fields of a mapping or a dataclass."""
    if isinstance(value, Mapping):
        return value
    # Not `dataclasses.asdict`, because that would deep-copy values and convert nested objects.
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _encode_protobuf(message: Message) -> Any:
    # The message's own pool, because the default pool may not know the types inside an Any.
    pool: Any = message.DESCRIPTOR.file.pool
    try:
        return json_format.MessageToDict(
            message, preserving_proto_field_name=True, descriptor_pool=pool
        )
    # Raised for an Any whose type is not in the pool of the message.
    except (TypeError, json_format.Error) as error:
        raise InvalidInputError(f"request cannot be sent as JSON: {error}") from None


def _repeated_keys(given: Mapping[Any, Any], known: Mapping[str, Field]) -> set[str]:
    """Returns the keys that name the same field as another key of the mapping."""
    seen: dict[str, str] = {}
    repeated: set[str] = set()
    for key in given:
        field = known.get(key) if isinstance(key, str) else None
        if field is not None:
            repeated |= {key, seen[field.name]} if field.name in seen else set()
            seen[field.name] = key
    return repeated


def _to_camel_case(path: object, where: str) -> str:
    text = str(path)
    first, *others = text.split("_")
    written = first + "".join(part[:1].upper() + part[1:] for part in others)
    if snake_case(written) != text:
        raise InvalidInputError(
            f"{where}: the path {text!r} has no form in JSON; paths are lower-case words joined by "
            "one '_' each"
        )
    return written
