"""The message layout of earlier gateways, as changes to the packaged layout.

Earlier gateways sent events as payload and text metadata instead of CloudEvents.
"""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)

# Both messages that carry events had the same fields.
_EVENT = ("string topic", "bytes data", "texts metadata", "string message_id", "string timestamp")

# Messages by the service of their file. Fields are numbered in this order, and `texts` stands for
# map<string, string>.
_MESSAGES: dict[str, dict[str, tuple[str, ...]]] = {
    "Pubsub": {
        "PublishRequest": _EVENT,
        "SubscribeResponse": _EVENT,
    },
    "Gateway": {
        "GatewaySubscribeRequest": (
            "repeated string services",
            "repeated string topics",
            "repeated string event_types",
        ),
        "EventMessage": (
            "string id",
            "string source",
            "string type",
            "string spec_version",
            "string data_content_type",
            "bytes data",
            "string topic",
        ),
    },
}
_TYPES = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "texts": FieldDescriptorProto.TYPE_MESSAGE,
}


def make_earlier(files: Iterable[FileDescriptorProto]) -> None:
    """Changes copies of the packaged files, in place, to the layout of earlier gateways.

    The changed files no longer import the file of CloudEvents.
    """
    for file in files:
        imports = [name for name in file.dependency if not name.endswith("/cloudevents.proto")]
        file.dependency[:] = imports
        for service in file.service:
            for name, fields in _MESSAGES.get(service.name, {}).items():
                _replace(file, name, fields)
            if service.name == "Gateway":
                service.method.add(
                    name="Subscribe",
                    input_type=f".{file.package}.GatewaySubscribeRequest",
                    output_type=f".{file.package}.EventMessage",
                    server_streaming=True,
                )


def _replace(file: FileDescriptorProto, name: str, fields: Iterable[str]) -> None:
    # Replaced as a whole, because the earlier messages have other fields and numbers.
    kept = [message for message in file.message_type if message.name != name]
    del file.message_type[:]
    file.message_type.extend(kept)
    message = file.message_type.add(name=name)
    for number, field in enumerate(fields, start=1):
        _add_field(message, number, field, f".{file.package}.{name}")


def _add_field(message: DescriptorProto, number: int, words: str, full_name: str) -> None:
    *repeated, kind, name = words.split()
    many = bool(repeated) or kind == "texts"
    field = message.field.add(
        name=name,
        number=number,
        type=_TYPES[kind],
        label=(
            FieldDescriptorProto.LABEL_REPEATED if many else FieldDescriptorProto.LABEL_OPTIONAL
        ),
    )
    if kind == "texts":
        entry = message.nested_type.add(name=f"{name.title()}Entry")
        entry.options.map_entry = True
        _add_field(entry, 1, "string key", full_name)
        _add_field(entry, 2, "string value", full_name)
        field.type_name = f"{full_name}.{entry.name}"
