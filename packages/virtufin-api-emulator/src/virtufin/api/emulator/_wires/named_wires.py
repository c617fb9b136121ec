"""Which generation of the gateway's wire is served."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto

from virtufin.api.client._protobuf import build_pool
from virtufin.api.client._wire import PACKAGE, Wire

from .earlier_wire import make_earlier
from .wire_files import wire_copies

WireName = Literal["current", "moved-numbers", "earlier"]
WIRES: tuple[WireName, ...] = get_args(WireName)
"""The wires that have a name."""


def chosen_wire(wire: object) -> Wire:
    """A wire by itself or by name.

    `current` is as packaged, `moved-numbers` the same with every field number of package `virtufin`
    one higher, `earlier` has events and streams as earlier gateways.

    Raises:
        ValueError: There is none of that name.
        TypeError: It is neither a `Wire` nor a name.
    """
    if isinstance(wire, Wire):
        return wire
    names = ", ".join(map(repr, WIRES))
    if not isinstance(wire, str):
        raise TypeError(f"wire is a Wire or one of {names}, got {wire!r}")
    if wire not in WIRES:
        raise ValueError(f"wire is one of {names}, got {wire!r}")
    packaged = Wire.packaged()
    if wire == "current":
        return packaged
    files = wire_copies(packaged)
    if wire == "earlier":
        make_earlier(files)
    else:
        _move_numbers(files)
    return _wire_of(files, origin=wire)


def without(wire: Wire, *names: str) -> Wire:
    """The wire of a gateway that lacks some things.

    Args:
        wire: What it would be with them.
        *names: Methods as `State.QueryState`, fields as `SaveStateRequest.publish_change`.

    Raises:
        ValueError: The wire has no such thing.
    """
    files = wire_copies(wire)
    unknown = set(names)
    for message in _messages(files):
        for field in reversed(message.field):
            if (name := f"{message.name}.{field.name}") in names:
                message.field.remove(field)
                unknown.discard(name)
    kept = {name: wire[name] for name in wire if name not in names}
    unknown -= set(wire)
    if unknown:
        raise ValueError(f"{wire!r} has no {' and no '.join(sorted(unknown))}")
    left = _wire_of(files, origin=wire.origin)
    return Wire({name: left[name] for name in kept}, origin=wire.origin)


def _move_numbers(files: Iterable[FileDescriptorProto]) -> None:
    for message in _messages(files):
        for field in message.field:
            field.number += 1


def _wire_of(files: list[FileDescriptorProto], *, origin: str) -> Wire:
    pool = build_pool(files)
    return Wire.from_files((pool.FindFileByName(file.name) for file in files), origin=origin)


def _messages(files: Iterable[FileDescriptorProto]) -> list[DescriptorProto]:
    """The messages of the gateway's own package, also those inside others; entries of maps not."""
    found: list[DescriptorProto] = []
    waiting = [
        message for file in files if file.package == PACKAGE for message in file.message_type
    ]
    while waiting:
        message = waiting.pop()
        waiting.extend(message.nested_type)
        if not message.options.map_entry:
            found.append(message)
    return found
