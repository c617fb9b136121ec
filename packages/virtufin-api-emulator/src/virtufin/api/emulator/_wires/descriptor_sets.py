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
    """The full names of the services of one server, and the descriptor pool that defines them."""

    # One pool per server, because servers reuse package and message names.
    pool: DescriptorPool
    services: Sequence[str]


class DescriptorSource(Protocol):
    """The origin of the descriptors that a reflection service returns.

    If several sets have the same symbol or file, the first set wins.
    """

    def fetch_sets(self) -> AsyncIterator[DescriptorSet]:
        """Yields the descriptor sets in order of precedence. Each set is fetched when needed."""
        ...

    async def resolve_alias(self, name: str) -> tuple[DescriptorSet, str] | None:
        """Returns the service that an alias stands for.

        Args:
            name: Possible alias, such as the name by which a backend is registered.

        Returns:
            The descriptor set and the full name of the service, or None if there is no such alias.

        Raises:
            KeyError: The descriptors of the service cannot be fetched.
        """
        ...


class StaticSource:
    """A source with one descriptor set and without aliases."""

    def __init__(self, only: DescriptorSet) -> None:
        self._only = only

    async def fetch_sets(self) -> AsyncIterator[DescriptorSet]:
        yield self._only

    async def resolve_alias(self, name: str) -> tuple[DescriptorSet, str] | None:
        return None


def collect_files(files: Iterable[FileDescriptor]) -> list[FileDescriptor]:
    """Returns files and all files that they import, each once. A file comes before its imports."""
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
    """Returns copies of files and of all files that they import, in a form that can be changed."""
    return [
        descriptor_pb2.FileDescriptorProto.FromString(file.serialized_pb)
        for file in collect_files(files)
    ]


def copy_wire_files(wire: Wire) -> list[descriptor_pb2.FileDescriptorProto]:
    """Returns copies of the files that define a message layout, in a form that can be changed.

    The copies have only the methods of the layout, and no service without a method.
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
