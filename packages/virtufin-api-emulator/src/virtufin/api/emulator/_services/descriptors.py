"""The descriptors that the gateway's reflection returns: its own and those of its backends.

A descriptor is protobuf's description of a file, message or service.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from google.protobuf import descriptor_pb2

from virtufin.api.client._protobuf import V1, V1ALPHA, build_pool
from virtufin.api.client._wire import Wire
from virtufin.api.emulator._invocation import Catalog, Registry
from virtufin.api.emulator._status_errors import StatusError
from virtufin.api.emulator._wires import DescriptorSet, copy_files, copy_wire_files

from . import health
from .reflection import make_reflection_files


def make_own_descriptors(wire: Wire) -> DescriptorSet:
    """Returns the descriptors of the gateway's own services, health checks and reflection.

    Args:
        wire: Message layout of the gateway.
    """
    services = dict.fromkeys(wire[name].service for name in wire)
    files = [*copy_wire_files(wire), *copy_files([health.FILE])]
    return make_server_descriptors(files, [*services, health.SERVICE])


def make_server_descriptors(
    files: Iterable[descriptor_pb2.FileDescriptorProto], services: Iterable[str]
) -> DescriptorSet:
    """Returns the descriptors of a server, with those of the reflection services added.

    Args:
        files: Files that define the services, and all files that these import.
        services: Full names of the services.
    """
    return DescriptorSet(build_pool([*files, *make_reflection_files()]), [*services, V1, V1ALPHA])


class AggregatedSource:
    """A source of the gateway's own descriptors, followed by those of every backend.

    The name by which a backend is registered is an alias of the first gRPC service of the backend.

    Args:
        own: The gateway's own descriptors.
        registry: The registered backends.
        catalog: Catalog that fetches the descriptors of the backends.
    """

    def __init__(self, own: DescriptorSet, registry: Registry, catalog: Catalog) -> None:
        self._own = own
        self._registry = registry
        self._catalog = catalog

    async def fetch_sets(self) -> AsyncIterator[DescriptorSet]:
        # First, so that symbols of the gateway are found without a call to any backend.
        yield self._own
        for one in await self._catalog.fetch_descriptor_sets():
            yield one

    async def resolve_alias(self, name: str) -> tuple[DescriptorSet, str] | None:
        service = self._registry.get(name)
        if service is None:
            return None
        try:
            descriptors = (await self._catalog.describe(service)).descriptors
        except StatusError as error:
            # KeyError, because the reflection servicer answers that with NOT_FOUND.
            raise KeyError(f"{name}: {error}") from error
        return (descriptors, descriptors.services[0]) if descriptors.services else None
