"""Comparison of the gateway's own descriptors with those of the installed protos.

Methods are compared by path; fields by name, with their number, type and cardinality; enum values
by name. The names of messages do not matter, because they are not sent. Fields that only the
gateway has are reported as additions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, MethodDescriptor

# Read from the class, because protobuf has no public table from type numbers to names.
_TYPES = {
    value: name.removeprefix("TYPE_").lower()
    for name, value in vars(FieldDescriptor).items()
    if name.startswith("TYPE_")
}


@dataclass(frozen=True)
class Difference:
    """A difference between the gateway's descriptors and those of the installed protos."""

    where: str
    """Full name of the method, field or enum value, such as `virtufin.GetStateResponse.value`."""
    packaged: str
    """Property in the installed protos, such as `number 2`; empty if only the gateway has it."""
    gateway: str
    """Property in the gateway's descriptors; empty if the gateway does not have it."""

    is_method: bool = False
    """True for a method, False for a field or an enum value."""

    @property
    def is_addition(self) -> bool:
        """True if only the gateway has this method, field or value; this client does not use it."""
        return not self.packaged

    def __str__(self) -> str:
        if not self.packaged:
            return f"{self.where}: only the gateway has it ({self.gateway})"
        if not self.gateway:
            return f"{self.where}: the gateway lacks it ({self.packaged})"
        return f"{self.where}: {self.packaged} in the packaged protos, {self.gateway} there"


def different_methods(ours: MethodDescriptor, theirs: MethodDescriptor) -> Iterator[Difference]:
    """Yields the differences between two methods of the same name, including their messages.

    Args:
        ours: The method in the installed protos.
        theirs: The gateway's method.
    """
    if _shape(ours) != _shape(theirs):
        yield Difference(ours.full_name, _shape(ours), _shape(theirs), is_method=True)
    seen: set[str] = set()
    yield from different_messages(ours.input_type, theirs.input_type, seen)
    yield from different_messages(ours.output_type, theirs.output_type, seen)


def different_messages(
    ours: Descriptor, theirs: Descriptor, seen: set[str] | None = None
) -> Iterator[Difference]:
    """Yields the differences between two messages, including the messages in their fields.

    Args:
        ours: The message in the installed protos.
        theirs: The gateway's message.
        seen: Full names of `ours` that were compared already. This function adds to the set.
    """
    # Messages seen before are skipped, because a message may contain itself.
    seen = set() if seen is None else seen
    if ours.full_name in seen:
        return
    seen.add(ours.full_name)
    matched: set[str] = set()
    for field in ours.fields:
        other = counterpart(field, theirs)
        where = f"{ours.full_name}.{field.name}"
        if other is None:
            yield Difference(where, _field(field), "")
            continue
        matched.add(other.name)
        if other.name != field.name:
            yield Difference(where, f"this name, number {field.number}", f"named {other.name}")
        yield from _different_fields(where, field, other, seen)
    for field in theirs.fields:
        if field.name not in matched:
            yield Difference(f"{ours.full_name}.{field.name}", "", _field(field))


def counterpart(field: FieldDescriptor, message: Descriptor) -> FieldDescriptor | None:
    """Returns the field of another message that corresponds to a field, or None if none does.

    That is the field with the same name, or else a renamed field. A field counts as renamed if its
    number and type are the same, and if no field of the first message has its name.

    Args:
        field: Field of the first message.
        message: The other message.
    """
    found: FieldDescriptor | None = message.fields_by_name.get(field.name)
    if found is not None:
        return found
    found = message.fields_by_number.get(field.number)
    # Not a renamed field if the first message has the name too, because the name then belongs to
    # another field there.
    own: Any = field.containing_type
    if found is None or found.name in own.fields_by_name or _kind(found) != _kind(field):
        return None
    return found


def type_name(field: FieldDescriptor) -> str:
    """Returns a field's type as in protos, such as `int32`; `message` or `enum` for these kinds."""
    # The number itself for a type that this version of protobuf does not know.
    return _TYPES.get(field.type, str(field.type))


def is_repeated(field: FieldDescriptor) -> bool:
    """Returns True if a field is a list or a map."""
    # Two ways to find out, because protobuf before 6.31 has no `is_repeated`, and later versions
    # warn when `label` is read.
    repeated = getattr(field, "is_repeated", None)
    if repeated is None:
        any_field: Any = field
        return bool(any_field.label == FieldDescriptor.LABEL_REPEATED)
    return bool(repeated)


def _different_fields(
    where: str, ours: FieldDescriptor, theirs: FieldDescriptor, seen: set[str]
) -> Iterator[Difference]:
    if ours.number != theirs.number:
        yield Difference(where, f"number {ours.number}", f"number {theirs.number}")
    if _kind(ours) != _kind(theirs):
        yield Difference(where, _kind(ours), _kind(theirs))
    elif ours.message_type is not None and theirs.message_type is not None:
        yield from different_messages(ours.message_type, theirs.message_type, seen)
    elif ours.enum_type is not None and theirs.enum_type is not None:
        yield from _different_enums(ours.enum_type, theirs.enum_type)


def _different_enums(ours: EnumDescriptor, theirs: EnumDescriptor) -> Iterator[Difference]:
    for value in ours.values:
        other = theirs.values_by_name.get(value.name)
        number = "" if other is None else f"value {other.number}"
        if number != f"value {value.number}":
            yield Difference(f"{ours.full_name}.{value.name}", f"value {value.number}", number)


def _shape(method: MethodDescriptor) -> str:
    asked = "a stream" if method.client_streaming else "one request"
    answered = "a stream" if method.server_streaming else "one response"
    return f"{asked}, {answered}"


def _kind(field: FieldDescriptor) -> str:
    """Returns type and cardinality of a field, without the name of a message."""
    kind = type_name(field)
    return f"repeated {kind}" if is_repeated(field) else kind


def _field(field: FieldDescriptor) -> str:
    return f"{_kind(field)}, number {field.number}"


def method_of(pool: Any, service: str, method: str) -> MethodDescriptor | None:
    """Returns a method from a descriptor pool, or None if the pool does not have the method.

    Args:
        pool: The descriptor pool.
        service: Full name of the service.
        method: Short name of the method.
    """
    try:
        found: MethodDescriptor | None = pool.FindServiceByName(service).methods_by_name.get(method)
    except KeyError:
        return None
    return found
