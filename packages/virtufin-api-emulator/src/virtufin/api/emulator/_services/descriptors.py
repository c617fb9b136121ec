"""The descriptors of the gateway itself, and the view of them and all backends together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from google.protobuf import descriptor_pb2

from virtufin.api.client._protobuf import V1, V1ALPHA, build_pool
from virtufin.api.client._wire import Wire
from virtufin.api.emulator._invocation import Catalog, Registry
from virtufin.api.emulator._status_errors import RefusedError
from virtufin.api.emulator._wires import DescriptorSet, file_copies, wire_copies

from . import health
from .reflection import reflection_files


def own_descriptors(wire: Wire) -> DescriptorSet:
    """What a gateway of that wire offers itself."""
    services = dict.fromkeys(wire[name].service for name in wire)
    files = [*wire_copies(wire), *file_copies([health.FILE])]
    return server_descriptors(files, [*services, health.SERVICE])


def server_descriptors(
    files: Iterable[descriptor_pb2.FileDescriptorProto], services: Iterable[str]
) -> DescriptorSet:
    """What a server with these services offers, reflection included."""
    return DescriptorSet(build_pool([*files, *reflection_files()]), [*services, V1, V1ALPHA])


class AggregatedSource:
    """The gateway's own descriptors first, then every backend's; service names are aliases."""

    def __init__(self, own: DescriptorSet, registry: Registry, catalog: Catalog) -> None:
        self._own = own
        self._registry = registry
        self._catalog = catalog

    async def sets(self) -> AsyncIterator[DescriptorSet]:
        # First, so that what the gateway itself offers is told without asking any backend.
        yield self._own
        for one in await self._catalog.descriptor_sets():
            yield one

    async def alias(self, name: str) -> tuple[DescriptorSet, str] | None:
        service = self._registry.get(name)
        if service is None:
            return None
        try:
            descriptors = (await self._catalog.describe(service)).descriptors
        except RefusedError as error:
            raise KeyError(f"{name}: {error}") from error
        return (descriptors, descriptors.services[0]) if descriptors.services else None
