"""Copies of the files that define a message layout, for changing or serving them."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor

from virtufin.api.client._wire import Wire

from .descriptor_sets import closure


def file_copies(files: Iterable[FileDescriptor]) -> list[descriptor_pb2.FileDescriptorProto]:
    """Returns copies of the files and of all files that they import."""
    return [
        descriptor_pb2.FileDescriptorProto.FromString(file.serialized_pb) for file in closure(files)
    ]


def wire_copies(wire: Wire) -> list[descriptor_pb2.FileDescriptorProto]:
    """Returns copies of the files that define the messages of a layout.

    The copies contain only methods of the layout, and only services with at least one method.
    """
    copies = file_copies(wire[name].request.DESCRIPTOR.file for name in wire)
    has = {wire[name].full_name for name in wire}
    for file in copies:
        # Backwards, because services and methods are removed during the iteration.
        for service in reversed(file.service):
            full_name = f"{file.package}.{service.name}"
            for method in reversed(service.method):
                if f"{full_name}/{method.name}" not in has:
                    service.method.remove(method)
            if not service.method:
                file.service.remove(service)
    return copies
