"""Message classes and method paths of the gateway, addressed by name.

Everything that speaks to a gateway, or plays one, takes its messages from a `Wire`, never from the
generated modules: the gateway's protos are not public and have changed in place, so the packaged
ones are the best reading of them, not the truth.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from google.protobuf import message_factory
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor

from virtufin.api.client._method import Method
from virtufin.api.protos import config_pb2, gateway_pb2, pubsub_pb2, state_pb2

PACKAGE = "virtufin"


class Wire:
    """The methods of the gateway's services by short name: `wire["State.GetState"]`."""

    def __init__(self, methods: Mapping[str, Method], *, origin: str) -> None:
        self._methods = dict(methods)
        self.origin = origin
        """Where the descriptors come from: `packaged`."""

    @classmethod
    def packaged(cls) -> Wire:
        """The wire as the packaged protos describe it."""
        files = (gateway_pb2, pubsub_pb2, state_pb2, config_pb2)
        return cls.from_files((module.DESCRIPTOR for module in files), origin="packaged")

    @classmethod
    def from_files(cls, files: Iterable[FileDescriptor], *, origin: str) -> Wire:
        """The wire of all services defined in `files`."""
        methods: dict[str, Method] = {}
        for file in files:
            for service in file.services_by_name.values():
                for method in _methods_of(service):
                    methods[f"{service.name}.{method.name}"] = method
        return cls(methods, origin=origin)

    def __getitem__(self, name: str) -> Method:
        """The method of that short name."""
        return self._methods[name]

    def __iter__(self) -> Iterator[str]:
        """Short names of all methods."""
        return iter(self._methods)

    def __repr__(self) -> str:
        return f"<Wire {self.origin}, {len(self._methods)} methods>"


def _methods_of(service: ServiceDescriptor) -> Iterator[Method]:
    for method in service.methods:
        yield Method(
            service=service.full_name,
            name=method.name,
            request=message_factory.GetMessageClass(method.input_type),
            response=message_factory.GetMessageClass(method.output_type),
            server_streaming=method.server_streaming,
        )
