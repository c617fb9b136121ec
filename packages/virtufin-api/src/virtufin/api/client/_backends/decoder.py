"""Conversion of a reply's JSON to Python values, complete and typed by the reply's descriptor.

The gateway leaves out fields that have their default value. JSON has neither bytes nor 64-bit
integers (proto3 JSON mapping). The result holds every field under its proto name:

- Scalars that were not sent have their default; lists and maps are empty.
- A message or optional field that is not set is None.
- A member of a oneof that is not set is absent.
- A field that the descriptor does not have, or a value that does not fit, stays as it was sent.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from virtufin.api.client._backends.value_decoders import (
    WELL_KNOWN,
    MisfitError,
    decode_enum,
    scalar_decoder,
)
from virtufin.api.client._protobuf import (
    ANY,
    INTEGERS,
    JSON_TYPES,
    NULL_VALUE,
    VALUE,
    WRAPPERS,
    Field,
    fields_of,
)

# An object of its own, because None is a legal value in JSON.
_MISSING = object()
# At most this many paths, because every item of a long list may fail to fit.
_MAX_REPORTED = 20
# Nested pairs instead of text, because a text for each value would cost time in replies that fit.
Path = tuple[Any, ...]
"""Position of a value: empty for the reply itself, else a pair of the parent's path and a name."""
Convert = Callable[[Any, Path, "list[Path]"], Any]
"""A function that converts a JSON value at a path, and adds the paths of values that do not fit."""


class ReplyDecoder:
    """Converts replies. One decoder serves one descriptor pool, as it caches messages by name."""

    def __init__(self) -> None:
        # Cached by message name, because reading descriptors takes longer than decoding a reply.
        self._converters: dict[str, Convert] = {}

    def complete(self, message: Descriptor, value: Any) -> tuple[Any, list[str]]:
        """Returns the Python value of a message's JSON, and the paths of values that do not fit.

        Args:
            message: Descriptor of the message.
            value: The parsed JSON.
        """
        misfits: list[Path] = []
        result = self.converter(message)(value, (), misfits)
        if not misfits:
            return result, []
        return result, [_path_text(path) for path in misfits[:_MAX_REPORTED]]

    def converter(self, message: Descriptor) -> Convert:
        """Returns the function that converts the JSON of a message."""
        name = message.full_name
        known = self._converters.get(name)
        if known is None:
            known = self._converters[name] = self._make_converter(message, name)
        return known

    def _make_converter(self, message: Descriptor, name: str) -> Convert:
        if name in WELL_KNOWN:
            return _reporting(WELL_KNOWN[name])
        if name in WRAPPERS:
            decode = scalar_decoder(message.fields_by_name["value"])
            return _reporting(lambda value: None if value is None else decode(value))
        if name in JSON_TYPES:
            return lambda value, _path, _misfits: value
        if name == ANY:
            return partial(self._decode_any, message)
        return _ObjectDecoder(self, message).decode

    def _decode_any(self, message: Descriptor, value: Any, path: Path, misfits: list[Path]) -> Any:
        """Returns an Any with its `@type`; the content is completed if the pool knows the type."""
        if not isinstance(value, dict):
            misfits.append(path)
            return value
        url = value.get("@type")
        name = url.rpartition("/")[2] if isinstance(url, str) else ""
        try:
            held = message.file.pool.FindMessageTypeByName(name)
        # Kept as sent, because an Any may hold a type of another service, or no type name at all.
        except (KeyError, TypeError, ValueError):
            return value
        convert = self.converter(held)
        if name in WELL_KNOWN or name in WRAPPERS or name in JSON_TYPES or name == ANY:
            return {**value, "value": convert(value.get("value"), (path, "value"), misfits)}
        rest = {key: item for key, item in value.items() if key != "@type"}
        # Some writers treat Empty as a well-known type, whose JSON is under "value".
        if not held.fields and rest == {"value": {}}:
            rest = {}
        return {"@type": url, **convert(rest, path, misfits)}


class _ObjectDecoder:
    """Converts the JSON object of a message."""

    def __init__(self, decoder: ReplyDecoder, message: Descriptor) -> None:
        self._decoder = decoder
        self._message = message
        # Made at the first reply, because a message may contain itself.
        self._targets: tuple[_Target, ...] | None = None
        names = {field.name: field.json_name for field in message.fields}
        # True for names such as `a_b` beside `aB`, which is the JSON name of the first.
        self._ambiguous = any(json in names and json != name for name, json in names.items())

    def decode(self, value: Any, path: Path, misfits: list[Path]) -> Any:
        """Returns the complete object; see `ReplyDecoder.complete`."""
        if not isinstance(value, dict):
            misfits.append(path)
            return value
        if self._targets is None:
            fields = fields_of(self._message)
            targets = tuple(_target(field, self._decoder) for field in fields)
            if self._ambiguous:
                # By proto names only, because the keys of the object are changed to them before.
                targets = tuple(target._replace(json_name=target.name) for target in targets)
            self._targets = targets
        if self._ambiguous:
            value = self._in_proto_names(value)
        result: dict[str, Any] = {}
        used = 0
        for (
            name,
            json_name,
            plain,
            convert,
            container,
            default,
            in_oneof,
            holds_null,
        ) in self._targets:
            # Both names are read, because a proto3 JSON writer may use either.
            sent = value.get(name, _MISSING)
            if sent is _MISSING:
                sent = value.get(json_name, _MISSING)
            if sent is not _MISSING:
                used += 1
                # Taken at once, because most values are texts and numbers that need no conversion.
                if type(sent) is plain:
                    result[name] = sent
                    continue
                # JSON null means "not set" (proto3 JSON mapping), except for types that hold null.
                if sent is not None or holds_null:
                    result[name] = convert(sent, (path, name), misfits)
                    continue
            if not in_oneof:
                result[name] = default if container is None else container()
        if used < len(value):
            self._add_others(value, result, path, misfits)
        return result

    def _in_proto_names(self, value: dict[str, Any]) -> dict[str, Any]:
        """Returns the object with each key of a field under the field's proto name."""
        left, named = dict(value), {}
        for field in self._message.fields:
            for name in (field.name, field.json_name):
                if name in left:
                    named[field.name] = left.pop(name)
                    break
        return {**named, **left}

    def _add_others(
        self, value: dict[str, Any], result: dict[str, Any], path: Path, misfits: list[Path]
    ) -> None:
        """Adds the values that belong to no field, and reports them."""
        assert self._targets is not None
        known = {
            target.name if target.name in value else target.json_name for target in self._targets
        }
        for key, sent in value.items():
            if key not in known:
                misfits.append((path, key))
                result.setdefault(key, sent)


class _Target(NamedTuple):
    """A field of a reply, with properties that are computed once to decode replies fast."""

    name: str
    json_name: str
    plain: type | None
    """Type of the JSON values that need no conversion; None if every value is converted."""
    convert: Convert
    container: Callable[[], Any] | None
    """For a list or map, the function that makes the empty value; None for other fields."""
    default: Any
    """Value if a field that is no list or map was not sent."""
    in_oneof: bool
    """True for a member of a oneof, which is absent if it was not sent."""
    holds_null: bool
    """True if null is a value of the field's type."""


def _target(field: Field, decoder: ReplyDecoder) -> _Target:
    descriptor = field.descriptor
    item = descriptor if field.value is None else field.value
    plain = None if item.type == FieldDescriptor.TYPE_BYTES else _PLAIN.get(item.cpp_type)
    if item.message_type is not None:
        convert = decoder.converter(item.message_type)
    else:
        convert = _reporting(scalar_decoder(item))
    container: Callable[[], Any] | None = None
    default = None
    if field.value is not None:
        container, convert, plain = dict, partial(_decode_map, plain, convert), None
    elif field.repeated:
        container, convert, plain = list, partial(_decode_list, plain, convert), None
    elif not descriptor.has_presence and field.kind != NULL_VALUE:
        default = descriptor.default_value
        if descriptor.enum_type is not None:
            default = decode_enum(descriptor.enum_type, default)
    holds_null = field.kind in (VALUE, NULL_VALUE)
    return _Target(
        field.name, field.json_name, plain, convert, container, default, field.in_oneof, holds_null
    )


_PLAIN: dict[int, type] = {
    **dict.fromkeys(INTEGERS, int),
    FieldDescriptor.CPPTYPE_DOUBLE: float,
    FieldDescriptor.CPPTYPE_BOOL: bool,
    FieldDescriptor.CPPTYPE_STRING: str,
}


def _decode_list(
    plain: type | None, convert: Convert, value: Any, path: Path, misfits: list[Path]
) -> Any:
    if not isinstance(value, list):
        misfits.append(path)
        return value
    return [item if type(item) is plain else convert(item, path, misfits) for item in value]


def _decode_map(
    plain: type | None, convert: Convert, value: Any, path: Path, misfits: list[Path]
) -> Any:
    if not isinstance(value, dict):
        misfits.append(path)
        return value
    return {
        key: item if type(item) is plain else convert(item, (path, key), misfits)
        for key, item in value.items()
    }


def _reporting(decode: Callable[[Any], Any]) -> Convert:
    """Returns a function that reports a value that does not fit, and returns it as sent."""

    # As sent, because the backend may have changed since its descriptors were fetched.
    def convert(value: Any, path: Path, misfits: list[Path]) -> Any:
        try:
            return decode(value)
        except MisfitError:
            misfits.append(path)
            return value

    return convert


def _path_text(path: Path) -> str:
    names = []
    while path:
        path, name = path
        names.append(f".{name}")
    return "".join(reversed(names))
