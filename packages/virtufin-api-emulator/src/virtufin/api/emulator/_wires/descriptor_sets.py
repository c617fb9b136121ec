"""What a reflection service answers from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool


@dataclass(frozen=True)
class DescriptorSet:
    """The services of one server and a pool of its own that defines them."""

    pool: DescriptorPool
    services: Sequence[str]


class DescriptorSource(Protocol):
    """Whoever has descriptor sets, in order of precedence."""

    def sets(self) -> AsyncIterator[DescriptorSet]:
        """All of them; later ones may take a while to come."""
        ...

    async def alias(self, name: str) -> tuple[DescriptorSet, str] | None:
        """The set a registered name stands for, and the full name it is an alias of."""
        ...


class StaticSource:
    """One set, no aliases."""

    def __init__(self, only: DescriptorSet) -> None:
        self._only = only

    async def sets(self) -> AsyncIterator[DescriptorSet]:
        yield self._only

    async def alias(self, name: str) -> tuple[DescriptorSet, str] | None:
        return None


def closure(files: Iterable[FileDescriptor]) -> list[FileDescriptor]:
    """The files and all they import, importing files first."""
    found: dict[str, FileDescriptor] = {}
    stack = list(files)
    while stack:
        file = stack.pop(0)
        if file.name not in found:
            found[file.name] = file
            stack.extend(file.dependencies)
    return list(found.values())
