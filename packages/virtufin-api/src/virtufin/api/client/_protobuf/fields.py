"""The fields of a message as proto3 JSON knows them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from .compare import is_repeated

TIMESTAMP = "google.protobuf.Timestamp"
DURATION = "google.protobuf.Duration"
STRUCT = "google.protobuf.Struct"
VALUE = "google.protobuf.Value"
LIST_VALUE = "google.protobuf.ListValue"
NULL_VALUE = "google.protobuf.NullValue"
FIELD_MASK = "google.protobuf.FieldMask"
ANY = "google.protobuf.Any"
JSON_TYPES = frozenset({STRUCT, VALUE, LIST_VALUE})
"""Well-known types that stand for JSON itself."""
WRAPPERS = frozenset(
    f"google.protobuf.{name}Value"
    for name in (
        "Bool",
        "Bytes",
        "Double",
        "Float",
        "Int32",
        "Int64",
        "String",
        "UInt32",
        "UInt64",
    )
)
"""Well-known types that hold one scalar, or nothing."""
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
    """A field, and how it occurs."""

    descriptor: FieldDescriptor
    repeated: bool
    """Whether it is a list."""
    value: FieldDescriptor | None
    """The value field of a map; None where it is none."""
    in_oneof: bool
    """Whether it is a member of a oneof, which others may take the place of."""
    optional: bool
    """Whether it may be unset although it is a scalar (`optional` in proto3)."""

    @property
    def name(self) -> str:
        """Its proto name."""
        return str(self.descriptor.name)

    @property
    def json_name(self) -> str:
        """Its lowerCamelCase name, unless the proto says another one."""
        return str(self.descriptor.json_name)

    @property
    def kind(self) -> str:
        """Full name of its message or enum; empty for scalars."""
        return kind_of(self.descriptor)


def kind_of(descriptor: FieldDescriptor) -> str:
    """Full name of a field's message or enum; empty for scalars."""
    kind = descriptor.message_type or descriptor.enum_type
    return "" if kind is None else str(kind.full_name)


def fields_of(message: Descriptor) -> Iterator[Field]:
    """The fields of a message in the order of its proto."""
    proto = descriptor_pb2.DescriptorProto()
    message.CopyToProto(proto)
    optional = {field.name for field in proto.field if field.proto3_optional}
    for descriptor in message.fields:
        value = None
        kind = descriptor.message_type
        if kind is not None and kind.GetOptions().map_entry:
            value = kind.fields_by_name["value"]
        yield Field(
            descriptor,
            is_repeated(descriptor) and value is None,
            value,
            descriptor.containing_oneof is not None and descriptor.name not in optional,
            descriptor.name in optional,
        )


def by_any_name(fields: tuple[Field, ...]) -> dict[str, Field]:
    """Fields by both of their names."""
    named = {field.json_name: field for field in fields}
    named.update((field.name, field) for field in fields)
    return named


def message_type(descriptor: FieldDescriptor) -> Descriptor:
    """The message that a field holds."""
    found: Any = descriptor.message_type
    assert found is not None
    return found  # type: ignore[no-any-return]


def snake_case(path: str) -> str:
    """`fooBar` to `foo_bar`, the way back of the JSON mapping of paths."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in path)
