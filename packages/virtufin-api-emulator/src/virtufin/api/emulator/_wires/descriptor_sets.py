"""Descriptors of servers: sets of them for reflection, and copies of their files.

A descriptor is protobuf's description of a file, message or service. A descriptor set has the
descriptors of all services of one server. Files are copied to serve them, or to change them into
those of another message layout, because descriptors themselves cannot be changed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool

from virtufin.api.client._wire import Wire


@dataclass(frozen=True)
class DescriptorSet:
    """The services of one server and the descriptor pool that defines them."""

    # One pool per server, because servers reuse package and message names.
    pool: DescriptorPool
    services: Sequence[str]


class DescriptorSource(Protocol):
    """A source of descriptor sets in order of precedence."""

    def fetch_sets(self) -> AsyncIterator[DescriptorSet]:
        """Yields all descriptor sets. Later sets may have to be fetched first."""
        ...

    async def resolve_alias(self, name: str) -> tuple[DescriptorSet, str] | None:
        """Returns the descriptor set and the full service name for a registered name, or None."""
        ...


class StaticSource:
    """A source of a single descriptor set without aliases."""

    def __init__(self, only: DescriptorSet) -> None:
        self._only = only

    async def fetch_sets(self) -> AsyncIterator[DescriptorSet]:
        yield self._only

    async def resolve_alias(self, name: str) -> tuple[DescriptorSet, str] | None:
        return None


def collect_files(files: Iterable[FileDescriptor]) -> list[FileDescriptor]:
    """Returns the files and all files that they import. Importing files come first."""
    # Walked breadth first without recursion; a file is kept once, because many import the same one.
    found: dict[str, FileDescriptor] = {}
    stack = list(files)
    while stack:
        file = stack.pop(0)
        if file.name not in found:
            found[file.name] = file
            stack.extend(file.dependencies)
    return list(found.values())


def copy_files(files: Iterable[FileDescriptor]) -> list[descriptor_pb2.FileDescriptorProto]:
    """Returns copies of the files and of all files that they import."""
    return [
        descriptor_pb2.FileDescriptorProto.FromString(file.serialized_pb)
        for file in collect_files(files)
    ]


def copy_wire_files(wire: Wire) -> list[descriptor_pb2.FileDescriptorProto]:
    """Returns copies of the files that define the messages of a layout.

    The copies contain only methods of the layout, and only services with at least one method.
    """
    copies = copy_files(wire[name].request.DESCRIPTOR.file for name in wire)
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
