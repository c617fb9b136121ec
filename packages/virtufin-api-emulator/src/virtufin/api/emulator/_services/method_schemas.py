"""Descriptions of the methods and messages of backends, for the replies of the gateway."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from virtufin.api.client._protobuf import Field, fields_of, is_repeated, type_name


def make_method_info(method: MethodDescriptor) -> dict[str, Any]:
    """Returns the fields of the MethodInfo message that describes a method."""
    return {
        "name": method.name,
        "full_name": method.full_name,
        "input_type": method.input_type.full_name,
        "output_type": method.output_type.full_name,
        "is_client_streaming": method.client_streaming,
        "is_server_streaming": method.server_streaming,
    }


def make_method_schema(method: MethodDescriptor, schema_type: str) -> dict[str, Any]:
    """Returns the fields of the MethodSchema message that describes a message of a method.

    Args:
        method: The method.
        schema_type: `input` to describe the request, `output` to describe the reply.
    """
    message = method.input_type if schema_type == "input" else method.output_type
    return {
        "input_type_name": method.input_type.full_name,
        "output_type_name": method.output_type.full_name,
        "schema_type": schema_type,
        "fields": [_describe_field(field) for field in fields_of(message)],
    }


def _describe_field(field: Field) -> dict[str, Any]:
    described = _describe_type(field.descriptor)
    described["is_optional"] = field.optional
    if field.in_oneof:
        oneof: Any = field.descriptor.containing_oneof
        described["oneof_group"] = oneof.name
        described["oneof_cases"] = [_describe_case(case) for case in oneof.fields]
    return described


def _describe_case(field: FieldDescriptor) -> dict[str, Any]:
    described = _describe_type(field)
    # The message for a case has no such field, because a member of a oneof is never repeated.
    del described["is_repeated"]
    return {**described, "field_number": field.number}


def _describe_type(field: FieldDescriptor) -> dict[str, Any]:
    message: Descriptor | None = field.message_type
    described: dict[str, Any] = {
        "name": field.name,
        "type": type_name(field),
        "type_name": "",
        "is_repeated": is_repeated(field),
    }
    # A map is described by its key and value, because its entry message is generated and its name
    # says nothing to a reader.
    if message is not None and message.GetOptions().map_entry:
        key, value = (_describe_type(message.fields_by_name[part]) for part in ("key", "value"))
        value_type = value["type_name"] or value["type"]
        described["type"] = "map"
        described["type_name"] = f"map<{key['type']}, {value_type}>"
        described["is_repeated"] = False
    elif message is not None:
        described["type_name"] = message.full_name
    elif field.enum_type is not None:
        described["type_name"] = field.enum_type.full_name
    return described
