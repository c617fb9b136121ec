"""Descriptor sets, the source of a reflection service's answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool


@dataclass(frozen=True)
class DescriptorSet:
    """The services of one server and the descriptor pool that defines them."""

    # One pool per server, because servers reuse package and message names.
    pool: DescriptorPool
    services: Sequence[str]


class DescriptorSource(Protocol):
    """A source of descriptor sets in order of precedence."""

    def sets(self) -> AsyncIterator[DescriptorSet]:
        """Yields all descriptor sets. Later sets may have to be fetched first."""
        ...

    async def alias(self, name: str) -> tuple[DescriptorSet, str] | None:
        """Returns the descriptor set and the full service name for a registered name, or None."""
        ...


class StaticSource:
    """A source of a single descriptor set without aliases."""

    def __init__(self, only: DescriptorSet) -> None:
        self._only = only

    async def sets(self) -> AsyncIterator[DescriptorSet]:
        yield self._only

    async def alias(self, name: str) -> tuple[DescriptorSet, str] | None:
        return None


def closure(files: Iterable[FileDescriptor]) -> list[FileDescriptor]:
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
