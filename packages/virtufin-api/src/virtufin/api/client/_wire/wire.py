"""The methods of the gateway by name, in the gateway's message layout.

The client and the emulator take message classes and method paths from a `Wire`, never from the
generated modules: the gateway's protos are not public and have changed in place, so a gateway may
differ from the packaged protos, which are those of the installed virtufin-api-protos.
`Wire.described_by` adapts the methods to a gateway's own descriptors. Adapted methods still take
and return the packaged messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from google.protobuf import message_factory
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor, ServiceDescriptor

from virtufin.api.client._protobuf import Difference, convertible, different_methods, method_of
from virtufin.api.client._transport import Method
from virtufin.api.protos import config_pb2, gateway_pb2, pubsub_pb2, state_pb2

from .adapted_methods import (
    AdaptedMethod,
    EarlierGatewaySubscribe,
    EarlierPublish,
    EarlierSubscribe,
)

PACKAGE = "virtufin"
# Field names, because gateways of the earlier generation are recognised by them alone: a message
# without `cloudevent` that has the fields of an earlier layout.
_EVENT = "cloudevent"
_EARLIER = {"data", "metadata"}
_EARLIER_EVENT = {"id", "source", "type", "spec_version", "data_content_type", "data", "topic"}
_SUBSCRIBE = "Pubsub.Subscribe"


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
        files = (gateway_pb2, pubsub_pb2, state_pb2, config_pb2)
        descriptors = (module.DESCRIPTOR for module in files)
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

    def described_by(self, pool: Any) -> Wire:
        """Returns the methods adapted to the descriptors of a gateway.

        Methods stay unchanged if the gateway has the same layout for them, or lacks them.

        Args:
            pool: The descriptor pool with the gateway's own descriptors.
        """
        methods: dict[str, Method] = {}
        differences: list[Difference] = []
        for name, packaged in self.methods.items():
            methods[name], found = _adapt(packaged, pool)
            differences += found
        # `Gateway.Subscribe`, because earlier gateways have no `Pubsub.Subscribe`.
        gateway = method_of(pool, f"{PACKAGE}.Gateway", "Subscribe")
        missing = method_of(pool, self.methods[_SUBSCRIBE].service, "Subscribe") is None
        if missing and gateway is not None and _has(gateway.output_type, _EARLIER_EVENT):
            methods[_SUBSCRIBE] = _make_adapted(
                EarlierGatewaySubscribe, self.methods[_SUBSCRIBE], gateway
            )
        changed = any(methods[name] is not packaged for name, packaged in self.methods.items())
        reason = "the gateway's own descriptors say the same as the packaged ones"
        if changed:
            reason = "the gateway's own descriptors say something else than the packaged ones"
        origin = "reflection" if changed else "packaged"
        # Without repeats, because methods share messages, and each reports the same difference.
        each_once = dict.fromkeys(differences)
        return Wire(methods, origin=origin, differences=each_once, reason=reason)

    @property
    def generation(self) -> Literal["current", "earlier"]:
        """Returns `earlier` if events are sent as `data` and `metadata`, else `current`."""
        kinds = (EarlierPublish, EarlierSubscribe, EarlierGatewaySubscribe)
        earlier = any(isinstance(method, kinds) for method in self.methods.values())
        return "earlier" if earlier else "current"

    def translates(self, difference: Difference) -> bool:
        """Returns True if calls work in spite of a difference, because the methods translate."""
        if difference.is_method:
            return difference.where == f"{PACKAGE}.{_SUBSCRIBE}" and isinstance(
                self.methods[_SUBSCRIBE], EarlierGatewaySubscribe
            )
        if difference.gateway.startswith("named ") or difference.gateway.startswith("number "):
            return True
        if not difference.gateway:
            return self.generation == "earlier" and difference.where.endswith(f".{_EVENT}")
        return convertible(difference.packaged, difference.gateway)

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


def _adapt(method: Method, pool: Any) -> tuple[Method, list[Difference]]:
    """Returns a method adapted to a gateway's descriptors, and the differences that were found."""
    gateway = method_of(pool, method.service, method.name)
    if gateway is None:
        missing = Difference(f"{method.service}.{method.name}", "a method", "", is_method=True)
        return method, [missing]
    packaged = method_of(method.request.DESCRIPTOR.file.pool, method.service, method.name)
    # Never None, because `method` was made from this pool.
    assert packaged is not None
    found = list(different_methods(packaged, gateway))
    # Unchanged, because protobuf skips fields that only the gateway has.
    if all(difference.is_addition for difference in found):
        return method, found
    # Unchanged, because translating messages cannot turn a stream into a unary reply.
    if gateway.client_streaming or gateway.server_streaming != method.server_streaming:
        return method, found
    kind: type[AdaptedMethod] = AdaptedMethod
    if _is_earlier(packaged.input_type, gateway.input_type):
        kind = EarlierPublish
    elif _is_earlier(packaged.output_type, gateway.output_type):
        kind = EarlierSubscribe
    return _make_adapted(kind, method, gateway), found


def _is_earlier(packaged: Any, gateway: Any) -> bool:
    return (
        _EVENT in packaged.fields_by_name
        and _EVENT not in gateway.fields_by_name
        and _has(gateway, _EARLIER)
    )


def _has(message: Any, fields: set[str]) -> bool:
    return fields <= set(message.fields_by_name)


def _make_adapted(
    kind: type[AdaptedMethod], method: Method, gateway: MethodDescriptor
) -> AdaptedMethod:
    classes = tuple(
        message_factory.GetMessageClass(message)
        for message in (gateway.input_type, gateway.output_type)
    )
    return kind(
        method, gateway.containing_service.full_name, gateway.name, (classes[0], classes[1])
    )
