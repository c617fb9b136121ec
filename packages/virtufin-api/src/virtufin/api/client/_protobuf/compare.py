"""What is different between the gateway's own descriptors and the packaged ones.

Compared is what goes over the wire and how it is addressed: methods by path, fields by name, with
their number, type and cardinality, enum values by name. The names of messages do not matter, nor
does what the gateway has in addition.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    FieldDescriptor,
    MethodDescriptor,
)

_TYPES = {
    value: name.removeprefix("TYPE_").lower()
    for name, value in vars(FieldDescriptor).items()
    if name.startswith("TYPE_")
}


@dataclass(frozen=True)
class Difference:
    """One difference between the gateway's descriptors and the packaged ones."""

    where: str
    """Full name of the method, field or enum value, such as `virtufin.GetStateResponse.value`."""
    packaged: str
    """What the packaged protos say of it, such as `number 2`; empty where they lack it."""
    gateway: str
    """What the gateway's descriptors say of it; empty where they lack it."""

    is_method: bool = False
    """Whether it is about a method, not about a field or an enum value."""

    @property
    def is_addition(self) -> bool:
        """Whether the gateway only has something in addition, which this client does not use."""
        return not self.packaged

    def __str__(self) -> str:
        if not self.packaged:
            return f"{self.where}: only the gateway has it ({self.gateway})"
        if not self.gateway:
            return f"{self.where}: the gateway lacks it ({self.packaged})"
        return f"{self.where}: {self.packaged} in the packaged protos, {self.gateway} there"


def different_methods(ours: MethodDescriptor, theirs: MethodDescriptor) -> Iterator[Difference]:
    """What is different between two methods of one name, messages included."""
    if _shape(ours) != _shape(theirs):
        yield Difference(ours.full_name, _shape(ours), _shape(theirs), is_method=True)
    seen: set[str] = set()
    yield from different_messages(ours.input_type, theirs.input_type, seen)
    yield from different_messages(ours.output_type, theirs.output_type, seen)


def different_messages(
    ours: Descriptor, theirs: Descriptor, seen: set[str] | None = None
) -> Iterator[Difference]:
    """What is different between two messages, and in what they hold.

    Args:
        ours: The packaged one.
        theirs: The gateway's.
        seen: Full names of packaged messages that were compared already; added to.
    """
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
    """The field of another message that means the same: of the same name, or renamed.

    Renamed is one of the same number and type, whose own name the first message does not have.
    """
    found: FieldDescriptor | None = message.fields_by_name.get(field.name)
    if found is not None:
        return found
    found = message.fields_by_number.get(field.number)
    own: Any = field.containing_type
    if found is None or found.name in own.fields_by_name or _kind(found) != _kind(field):
        return None
    return found


def type_name(field: FieldDescriptor) -> str:
    """Its type as protos write it, such as `int32`; `message` or `enum` for those."""
    return _TYPES.get(field.type, str(field.type))


def is_repeated(field: FieldDescriptor) -> bool:
    """Whether it is a list or a map."""
    # protobuf before 6.31 has no `is_repeated`, later ones warn of `label`.
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
    """Type and cardinality, without the name of a message."""
    kind = type_name(field)
    return f"repeated {kind}" if is_repeated(field) else kind


def _field(field: FieldDescriptor) -> str:
    return f"{_kind(field)}, number {field.number}"


def method_of(pool: Any, service: str, method: str) -> MethodDescriptor | None:
    """A method in a descriptor pool; None where it is not there."""
    try:
        found: MethodDescriptor | None = pool.FindServiceByName(service).methods_by_name.get(method)
    except KeyError:
        return None
    return found
