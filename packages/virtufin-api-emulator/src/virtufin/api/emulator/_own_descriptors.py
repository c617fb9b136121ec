"""The descriptors of the gateway itself, and the view of them and all backends together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor

from virtufin.api.client._reflection import V1, V1ALPHA, build_pool
from virtufin.api.client._wire import Wire
from virtufin.api.emulator import _health
from virtufin.api.emulator._catalog import Catalog
from virtufin.api.emulator._descriptors import DescriptorSet, closure
from virtufin.api.emulator._reflection_service import reflection_files
from virtufin.api.emulator._refusal import RefusedError
from virtufin.api.emulator._registry import Registry


def wire_files(wire: Wire) -> list[FileDescriptor]:
    """The files that define the wire's messages, as far as its methods use them."""
    files = [wire[name].request.DESCRIPTOR.file for name in wire]
    return list({file.name: file for file in files}.values())


def own_descriptors(wire: Wire, *, without: Collection[str] = ()) -> DescriptorSet:
    """What a gateway of that wire offers itself.

    Args:
        wire: Its wire.
        without: Names of methods it does not offer.
    """
    services = dict.fromkeys(wire[name].service for name in wire)
    return server_descriptors(
        [*wire_files(wire), _health.FILE], [*services, _health.SERVICE], without=without
    )


def server_descriptors(
    files: Iterable[FileDescriptor], services: Iterable[str], *, without: Collection[str] = ()
) -> DescriptorSet:
    """What a server with these services offers, reflection included."""
    copies = [_copy(file, without) for file in closure(files)]
    return DescriptorSet(build_pool([*copies, *reflection_files()]), [*services, V1, V1ALPHA])


def _copy(file: FileDescriptor, without: Collection[str]) -> descriptor_pb2.FileDescriptorProto:
    copy = descriptor_pb2.FileDescriptorProto.FromString(file.serialized_pb)
    for service in copy.service:
        kept = [method for method in service.method if method.name not in without]
        del service.method[:]
        service.method.extend(kept)
    return copy


class AggregatedSource:
    """The gateway's own descriptors first, then every backend's; service names are aliases."""

    def __init__(self, own: DescriptorSet, registry: Registry, catalog: Catalog) -> None:
        self._own = own
        self._registry = registry
        self._catalog = catalog

    async def sets(self) -> Sequence[DescriptorSet]:
        return [self._own, *await self._catalog.descriptor_sets()]

    async def alias(self, name: str) -> tuple[DescriptorSet, str] | None:
        service = self._registry.get(name)
        if service is None:
            return None
        try:
            descriptors = (await self._catalog.describe(service)).descriptors
        except RefusedError as error:
            raise KeyError(f"{name}: {error}") from error
        return (descriptors, descriptors.services[0]) if descriptors.services else None
