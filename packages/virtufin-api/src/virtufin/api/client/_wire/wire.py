"""The methods of the gateway by name, in the gateway's message layout.

The client and the emulator take message classes and method paths from a `Wire`, never from the
generated modules: the gateway's protos are not public and have changed in place, so a gateway may
differ from the packaged protos, which are those of the installed virtufin-api-protos.
The module `adaptation` adapts the methods to a gateway's own descriptors. Adapted methods still
take and return the packaged messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from google.protobuf import message_factory
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor

from virtufin.api.client import _protobuf
from virtufin.api.client._transport import Method
from virtufin.api.protos import cloudevents_pb2, config_pb2, gateway_pb2, pubsub_pb2, state_pb2

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    from virtufin.api.client._protobuf import Difference
else:
    # For `typing.get_type_hints`, which fails at a name that is imported later.
    Difference = FileDescriptorProto = Any


PACKAGE = "virtufin"
EVENT = "cloudevent"
SUBSCRIBE = "Pubsub.Subscribe"
SAME = "the gateway's own descriptors say the same as the packaged ones"
_MODULES = (gateway_pb2, pubsub_pb2, state_pb2, config_pb2)


class Wire:
    """A mapping from short names to methods: `wire["State.GetState"]`."""

    def __init__(
        self,
        methods: Mapping[str, Method],
        *,
        origin: str,
        differences: Iterable[Difference] = (),
        reason: str = "",
    ) -> None:
        self.methods = dict(methods)
        """The methods by their short names."""
        self.origin = origin
        """The source of the layout: `packaged` (installed protos) or the gateway's `reflection`."""
        self.differences = tuple(differences)
        """The differences between the gateway's own descriptors and the installed protos."""
        self.reason = reason
        """The reason why this layout is in use, for logs and reports."""

    @classmethod
    def packaged(cls, reason: str = "") -> Wire:
        """Returns the methods in the layout of the installed protos."""
        descriptors = (module.DESCRIPTOR for module in _MODULES)
        return cls.from_files(descriptors, origin="packaged", reason=reason)

    @classmethod
    def from_files(cls, files: Iterable[FileDescriptor], *, origin: str, reason: str = "") -> Wire:
        """Returns the methods of all services defined in `files`."""
        methods: dict[str, Method] = {}
        for file in files:
            for service in file.services_by_name.values():
                for method in _methods_of(service):
                    methods[f"{service.name}.{method.name}"] = method
        return cls(methods, origin=origin, reason=reason)

    @property
    def generation(self) -> Literal["current", "earlier"]:
        """Returns `earlier` if events are sent as `data` and `metadata`, else `current`."""
        if self.origin == "packaged":
            return "current"
        from .adapted_methods import EarlierGatewaySubscribe, EarlierPublish, EarlierSubscribe

        kinds = (EarlierPublish, EarlierSubscribe, EarlierGatewaySubscribe)
        earlier = any(isinstance(method, kinds) for method in self.methods.values())
        return "earlier" if earlier else "current"

    def translates(self, difference: Difference) -> bool:
        """Returns True if calls work in spite of a difference, because the methods translate."""
        if difference.is_method:
            from .adapted_methods import EarlierGatewaySubscribe

            return difference.where == f"{PACKAGE}.{SUBSCRIBE}" and isinstance(
                self.methods[SUBSCRIBE], EarlierGatewaySubscribe
            )
        if difference.gateway.startswith("named ") or difference.gateway.startswith("number "):
            return True
        if not difference.gateway:
            return self.generation == "earlier" and difference.where.endswith(f".{EVENT}")
        return _protobuf.convertible(difference.packaged, difference.gateway)

    def because(self, reason: str) -> Wire:
        """Returns a copy with another reason."""
        return Wire(self.methods, origin=self.origin, differences=self.differences, reason=reason)

    def __getitem__(self, name: str) -> Method:
        """Returns the method with a short name.

        Raises:
            KeyError: No method has this name.
        """
        return self.methods[name]

    def __iter__(self) -> Iterator[str]:
        """Yields the short names of all methods."""
        return iter(self.methods)

    def __str__(self) -> str:
        lines = [f"{self.origin} protos, {self.generation} generation: {self.reason}"]
        lines += [f"  {difference}" for difference in self.differences]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Wire {self.origin}, {len(self.methods)} methods>"


def _methods_of(service: ServiceDescriptor) -> Iterator[Method]:
    for method in service.methods:
        yield Method(
            service=service.full_name,
            name=method.name,
            request=message_factory.GetMessageClass(method.input_type),
            response=message_factory.GetMessageClass(method.output_type),
            server_streaming=method.server_streaming,
        )


def confirm(packaged: Wire, files: Sequence[FileDescriptorProto]) -> Wire | None:
    """Returns the packaged layout if a gateway's files define the same, and None otherwise.

    Faster than `adaptation.adapt`, because no descriptor is built. None does not always mean a
    difference: the same definitions may be in other files there, for example.

    Args:
        packaged: The layout of the installed protos.
        files: The proto files of the gateway's services and all files they import.
    """
    gateway = {_base_name(file.name): file.SerializeToString() for file in files}
    # Not with two files of one name, because one of them may define something else.
    if len(gateway) != len(files):
        return None
    for module in (cloudevents_pb2, *_MODULES):
        file = gateway.get(_base_name(module.DESCRIPTOR.name))
        if file is None or _definitions(file) != _definitions(module.DESCRIPTOR.serialized_pb):
            return None
    return packaged.because(SAME)


def _base_name(path: str) -> str:
    return path.rpartition("/")[2]


def _definitions(file: bytes) -> FileDescriptorProto:
    """Returns a serialized proto file without what no message depends on."""
    # Imported here, because nothing needs it with wire='packaged'.
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    content = FileDescriptorProto.FromString(file)
    # Names of files and options, because they depend on where and for which language a file was
    # compiled.
    for field in ("name", "dependency", "options", "source_code_info"):
        content.ClearField(field)
    return content
