"""Translation of messages from one layout to another, field by field, by name.

The client works with the messages of the installed protos. If the gateway has another message
layout, requests and replies are translated. Parts with the same layout are copied as bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from .compare import counterpart, different_messages, is_repeated

Copy = Callable[[Any], Any]


class CannotTranslateError(Exception):
    """A field that is set has no counterpart in the other layout, or its value does not fit."""


class Translation:
    """A translation from messages of one layout to messages of another."""

    def __init__(
        self,
        source: Descriptor,
        target: Descriptor,
        *,
        strict: bool,
        known: dict[tuple[str, str], Translation] | None = None,
    ) -> None:
        """Compares the two layouts.

        Args:
            source: Descriptor of the messages to translate.
            target: Descriptor of the translated messages.
            strict: True raises an error for a field that is set and has no counterpart. False
                leaves such a field out.
            known: Translations that exist already, by the full names of both messages. Needed for
                messages that contain each other. This method adds its own.
        """
        # Registered before the fields are compared, because a message may contain itself.
        known = {} if known is None else known
        known[source.full_name, target.full_name] = self
        self._strict = strict
        self._alike = not any(True for _ in different_messages(source, target))
        self._name = target.full_name
        self._fields = {
            field.name: self._field(field, counterpart(field, target), known)
            for field in (() if self._alike else source.fields)
        }

    def fill(self, target: Any, source: Any) -> None:
        """Fills an empty message with the content of another.

        Args:
            target: The empty message.
            source: The message to translate.

        Raises:
            CannotTranslateError: A value does not fit. In a strict translation also: a field that
                is set has no counterpart.
        """
        # Copied as bytes, because that also keeps fields which this client does not know.
        if self._alike:
            target.MergeFromString(source.SerializeToString())
            return
        for field, value in source.ListFields():
            copy = self._fields[field.name]
            if copy is not None:
                try:
                    copy(target, value)
                # Raised by conversions and by protobuf itself, for example for a number that is too
                # large for the other type.
                except (ValueError, TypeError) as error:
                    raise CannotTranslateError(f"{self._name}.{field.name}: {error}") from error
            elif self._strict:
                raise CannotTranslateError(f"{self._name} has no field {field.name!r}")

    def _field(
        self,
        source: FieldDescriptor,
        target: FieldDescriptor | None,
        known: dict[tuple[str, str], Translation],
    ) -> Callable[[Any, Any], None] | None:
        if target is None:
            return None
        if _is_map(source) and _is_map(target):
            return self._map(source, target, known)
        if source.message_type is not None and target.message_type is not None:
            return self._message(source, target, known)
        if source.message_type is not None or target.message_type is not None:
            return None
        return _scalar(source, target)

    def _nested(
        self,
        source: FieldDescriptor,
        target: FieldDescriptor,
        known: dict[tuple[str, str], Translation],
    ) -> Translation:
        ours, theirs = _message_type(source), _message_type(target)
        found = known.get((ours.full_name, theirs.full_name))
        return found or Translation(ours, theirs, strict=self._strict, known=known)

    def _message(
        self,
        source: FieldDescriptor,
        target: FieldDescriptor,
        known: dict[tuple[str, str], Translation],
    ) -> Callable[[Any, Any], None]:
        nested = self._nested(source, target, known)
        name, many = target.name, is_repeated(source)

        def copy(message: Any, value: Any) -> None:
            for item in _items(value, many, is_repeated(target), name):
                if is_repeated(target):
                    nested.fill(getattr(message, name).add(), item)
                else:
                    # Set even if empty, because an empty message differs from an unset one.
                    getattr(message, name).SetInParent()
                    nested.fill(getattr(message, name), item)

        return copy

    def _map(
        self,
        source: FieldDescriptor,
        target: FieldDescriptor,
        known: dict[tuple[str, str], Translation],
    ) -> Callable[[Any, Any], None] | None:
        ours, theirs = (_message_type(field).fields_by_name for field in (source, target))
        key = _converter(ours["key"], theirs["key"])
        name = target.name
        if ours["value"].message_type is not None and theirs["value"].message_type is not None:
            nested = self._nested(ours["value"], theirs["value"], known)

            def copy_messages(message: Any, value: Mapping[Any, Any]) -> None:
                for each in value:
                    nested.fill(getattr(message, name)[key(each)], value[each])

            return copy_messages
        if ours["value"].message_type is not None or theirs["value"].message_type is not None:
            return None
        convert = _converter(ours["value"], theirs["value"])

        def copy(message: Any, value: Mapping[Any, Any]) -> None:
            for each in value:
                getattr(message, name)[key(each)] = convert(value[each])

        return copy


def _scalar(source: FieldDescriptor, target: FieldDescriptor) -> Callable[[Any, Any], None]:
    convert = _converter(source, target)
    name, many = target.name, is_repeated(source)

    def copy(message: Any, value: Any) -> None:
        for item in _items(value, many, is_repeated(target), name):
            if is_repeated(target):
                getattr(message, name).append(convert(item))
            else:
                setattr(message, name, convert(item))

    return copy


def _items(value: Any, many: bool, into_many: bool, name: str) -> list[Any]:
    items = list(value) if many else [value]
    # An error for several values, because keeping a single value would lose data silently.
    if len(items) > 1 and not into_many:
        raise CannotTranslateError(f"field {name!r} takes one value there, not {len(items)}")
    return items


def convertible(packaged: str, gateway: str) -> bool:
    """Returns True if values of these two types can be translated into each other.

    Args:
        packaged: Type in the installed protos, such as `string` or `repeated int32`.
        gateway: Type in the gateway's descriptors, in the same form.
    """
    kinds = {kind.removeprefix("repeated ") for kind in (packaged, gateway)}
    if len(kinds) == 1:
        return True
    if kinds & {"message", "group"}:
        return False
    # Bytes convert only to text and back, because bytes have no obvious meaning as a number.
    return "bytes" not in kinds or kinds == {"bytes", "string"}


def _converter(source: FieldDescriptor, target: FieldDescriptor) -> Copy:
    """Returns a function that converts values of one scalar field to those of another."""
    if source.enum_type is not None and target.enum_type is not None:
        return _enum(source.enum_type, target.enum_type)
    if source.type == target.type:
        return lambda value: value
    convert = _CONVERT.get(_kind(target), int)
    if target.enum_type is not None and _kind(source) == "string":
        values = target.enum_type.values_by_name
        return lambda value: values[value].number if value in values else int(value)
    if source.enum_type is not None and _kind(target) == "string":
        known = source.enum_type.values_by_number
        return lambda value: str(known[value].name if value in known else value)
    return convert


def _kind(field: FieldDescriptor) -> str:
    """Returns the Python kind of a field: `string`, `bytes`, `bool`, `float` or `int`."""
    # By type for bytes, because bytes and text share a C++ type.
    if field.type == FieldDescriptor.TYPE_BYTES:
        return "bytes"
    return _KINDS.get(field.cpp_type, "int")


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value.encode()


def _bool(value: Any) -> bool:
    if not isinstance(value, str):
        return bool(value)
    try:
        return {"true": True, "1": True, "false": False, "0": False, "": False}[value.lower()]
    except KeyError:
        raise ValueError(f"{value!r} is neither true nor false") from None


_KINDS = {
    FieldDescriptor.CPPTYPE_STRING: "string",
    FieldDescriptor.CPPTYPE_BOOL: "bool",
    FieldDescriptor.CPPTYPE_FLOAT: "float",
    FieldDescriptor.CPPTYPE_DOUBLE: "float",
}
_CONVERT: dict[str, Copy] = {"string": _text, "bytes": _bytes, "bool": _bool, "float": float}


def _enum(source: EnumDescriptor, target: EnumDescriptor) -> Copy:
    numbers = {
        value.number: target.values_by_name[value.name].number
        for value in source.values
        if value.name in target.values_by_name
    }
    # A number without a name stays, because proto3 enums are open.
    return lambda value: numbers.get(value, value)


def _message_type(field: FieldDescriptor) -> Descriptor:
    assert field.message_type is not None
    return field.message_type


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry
