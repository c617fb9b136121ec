"""Descriptions of backends, from descriptors or from replies of the gateway's own methods."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from virtufin.api.client._protobuf import Field, fields_of, type_name
from virtufin.api.client.descriptions import (
    EnumDescription,
    FieldDescription,
    MessageDescription,
    MethodDescription,
    ServiceDescription,
)
from virtufin.api.client.results import FieldSchema, MethodInfo, MethodSchema


def from_descriptors(name: str, methods: Iterable[MethodDescriptor]) -> ServiceDescription:
    """Returns the description of a backend from its descriptors.

    Args:
        name: Registered name of the backend.
        methods: Descriptors of its methods.
    """
    described: list[MethodDescription] = []
    messages: dict[str, MessageDescription] = {}
    enums: dict[str, EnumDescription] = {}
    for method in methods:
        described.append(
            MethodDescription(
                method.name,
                method.full_name,
                method.input_type.full_name,
                method.output_type.full_name,
                not (method.client_streaming or method.server_streaming),
            )
        )
        for message in (method.input_type, method.output_type):
            _add(message, messages, enums)
    return ServiceDescription(name, tuple(described), messages, enums)


def from_answers(
    name: str, methods: Iterable[MethodInfo], schemas: Iterable[MethodSchema]
) -> ServiceDescription:
    """Returns the description of a backend from replies of `ListMethods` and `GetMethodSchema`.

    Such a description holds the request and response messages of the methods. It has no nested
    messages and no enums, because the gateway's replies do not list their fields and values.

    Args:
        name: Registered name of the backend.
        methods: Replies of `ListMethods`.
        schemas: Replies of `GetMethodSchema`, for requests and responses.
    """
    described = tuple(
        MethodDescription(
            method["name"],
            method["full_name"],
            method["input_type"],
            method["output_type"],
            not (method["is_client_streaming"] or method["is_server_streaming"]),
        )
        for method in methods
    )
    messages: dict[str, MessageDescription] = {}
    for schema in schemas:
        # Chosen by `schema_type`, because a schema names both messages of its method and has the
        # fields of only one message.
        kind = f"{schema['schema_type'] or 'input'}_type_name"
        full_name = str(schema.get(kind, ""))
        messages[full_name] = MessageDescription(full_name, tuple(map(_told, schema["fields"])))
    return ServiceDescription(name, described, messages, {})


def _add(
    message: Descriptor, messages: dict[str, MessageDescription], enums: dict[str, EnumDescription]
) -> None:
    # Checked first, because messages may contain each other.
    if message.full_name in messages:
        return
    fields = tuple(fields_of(message))
    described = tuple(map(_field, fields))
    messages[message.full_name] = MessageDescription(message.full_name, described)
    for field in fields:
        held: Any = field.value or field.descriptor
        if held.message_type is not None:
            # Well-known types are left out, because replies hold Python values in their place.
            if not held.message_type.full_name.startswith("google.protobuf."):
                _add(held.message_type, messages, enums)
        elif held.enum_type is not None:
            names = tuple(value.name for value in held.enum_type.values)
            enums[held.enum_type.full_name] = EnumDescription(held.enum_type.full_name, names)


def _field(field: Field) -> FieldDescription:
    if field.value is not None:
        entry: Any = field.descriptor.message_type
        kind = f"map<{_type(entry.fields_by_name['key'])}, {_type(field.value)}>"
    elif field.repeated:
        kind = f"repeated {_type(field.descriptor)}"
    else:
        kind = f"optional {_type(field.descriptor)}" if field.optional else _type(field.descriptor)
    oneof: Any = field.descriptor.containing_oneof
    return FieldDescription(field.name, kind, oneof.name if field.in_oneof else "")


def _type(descriptor: FieldDescriptor) -> str:
    kind: Any = descriptor.message_type or descriptor.enum_type
    if kind is None:
        return type_name(descriptor)
    full_name = str(kind.full_name)
    return full_name if full_name.startswith("google.protobuf.") else str(kind.name)


def _told(field: FieldSchema) -> FieldDescription:
    kind = field["type_name"].rpartition(".")[2] or field["type"]
    # Maps first and in full, because a map is also repeated, and because its type name may hold a
    # dot inside: `map<string, virtufin.WorkerInfo>`.
    if field["type"] == "map":
        kind = field["type_name"]
    elif field["is_repeated"]:
        kind = f"repeated {kind}"
    elif field["is_optional"]:
        kind = f"optional {kind}"
    return FieldDescription(field["name"], kind, field["oneof_group"])
