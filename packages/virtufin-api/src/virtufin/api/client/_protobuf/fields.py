"""Fields of a message, with the properties that the proto3 JSON mapping depends on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from .compare import is_repeated

# By C++ type, because all encodings of a type share it: int32, sint32 and sfixed32, for example.
INTEGERS = frozenset(
    {
        FieldDescriptor.CPPTYPE_INT32,
        FieldDescriptor.CPPTYPE_INT64,
        FieldDescriptor.CPPTYPE_UINT32,
        FieldDescriptor.CPPTYPE_UINT64,
    }
)
FLOATS = frozenset({FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE})


class Field(NamedTuple):
    """A field of a message, with its cardinality and presence."""

    # Copied from the descriptor, because reading a descriptor makes new objects each time, which
    # would make decoding slow.
    name: str
    """The proto name."""
    json_name: str
    """The name in JSON: lowerCamelCase, unless the proto declares another name."""
    kind: str
    """Full name of the field's message or enum; empty for scalars."""
    descriptor: FieldDescriptor
    repeated: bool
    """True for a list, False for a map or a single value."""
    value: FieldDescriptor | None
    """The value field of a map; None if the field is not a map."""
    in_oneof: bool
    """True for a member of a oneof."""
    optional: bool
    """True for `optional` in proto3, so that even a scalar may be unset."""


def kind_of(descriptor: FieldDescriptor) -> str:
    """Returns the full name of a field's message or enum; empty for scalars."""
    kind = descriptor.message_type or descriptor.enum_type
    return "" if kind is None else str(kind.full_name)


def fields_of(message: Descriptor) -> Iterator[Field]:
    """Yields the fields of a message in the order of the proto."""
    # Copied, because only the proto form shows which fields are `optional`. In descriptors such a
    # field looks like a member of a oneof with a single member.
    proto = descriptor_pb2.DescriptorProto()
    message.CopyToProto(proto)
    optional = {field.name for field in proto.field if field.proto3_optional}
    for descriptor in message.fields:
        value = None
        kind = descriptor.message_type
        if kind is not None and kind.GetOptions().map_entry:
            value = kind.fields_by_name["value"]
        yield Field(
            descriptor.name,
            descriptor.json_name,
            kind_of(descriptor),
            descriptor,
            is_repeated(descriptor) and value is None,
            value,
            descriptor.containing_oneof is not None and descriptor.name not in optional,
            descriptor.name in optional,
        )


def by_any_name(fields: tuple[Field, ...]) -> dict[str, Field]:
    """Returns the fields by name, each under its JSON name and its proto name."""
    # Proto names last, because they win if a JSON name equals the proto name of another field.
    named = {field.json_name: field for field in fields}
    named.update((field.name, field) for field in fields)
    return named


def message_type(descriptor: FieldDescriptor) -> Descriptor:
    """Returns the descriptor of the message in a field.

    Args:
        descriptor: A field whose type is a message.
    """
    # An assertion, because protobuf declares the type as optional, and callers have checked it.
    found: Any = descriptor.message_type
    assert found is not None
    return found  # type: ignore[no-any-return]


def snake_case(path: str) -> str:
    """Converts a path of a field mask from JSON to proto names: `fooBar` becomes `foo_bar`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in path)
