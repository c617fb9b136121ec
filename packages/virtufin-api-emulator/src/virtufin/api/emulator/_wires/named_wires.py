"""The message layouts that users choose by name, and layouts without some methods or fields.

A message layout says which methods a gateway has, and which fields and numbers their messages have.
In code it is a `Wire`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto

from virtufin.api.client._protobuf import build_pool
from virtufin.api.client._wire import PACKAGE, Wire

from .descriptor_sets import copy_wire_files
from .earlier_wire import make_earlier

WireName = Literal["current", "moved-numbers", "earlier"]
WIRES: tuple[WireName, ...] = get_args(WireName)
"""The names of the message layouts."""


def choose_wire(wire: object) -> Wire:
    """Returns the message layout with a name, or the given `Wire` itself.

    - `current` is the packaged layout.
    - `moved-numbers` is the packaged layout with every field number of package `virtufin` one
      higher.
    - `earlier` has the events and streams of earlier gateways.

    Args:
        wire: One of `WIRES`, or a `Wire`.

    Raises:
        ValueError: No layout has that name.
        TypeError: `wire` is neither a `Wire` nor a name.
    """
    if isinstance(wire, Wire):
        return wire
    names = ", ".join(map(repr, WIRES))
    if not isinstance(wire, str):
        raise TypeError(f"wire is a Wire or one of {names}, got {wire!r}")
    if wire not in WIRES:
        raise ValueError(f"wire is one of {names}, got {wire!r}")
    # Other layouts are built from copies of the files, because descriptors cannot be changed.
    packaged = Wire.packaged()
    if wire == "current":
        return packaged
    files = copy_wire_files(packaged)
    if wire == "earlier":
        make_earlier(files)
    else:
        _move_numbers(files)
    return _build_wire(files, origin=wire)


def _move_numbers(files: Iterable[FileDescriptorProto]) -> None:
    for message in _collect_messages(files):
        for field in message.field:
            field.number += 1


def _build_wire(files: list[FileDescriptorProto], *, origin: str) -> Wire:
    pool = build_pool(files)
    return Wire.from_files((pool.FindFileByName(file.name) for file in files), origin=origin)


def _collect_messages(files: Iterable[FileDescriptorProto]) -> list[DescriptorProto]:
    """Returns the messages of package `virtufin`, including nested messages but no map entries."""
    found: list[DescriptorProto] = []
    waiting = [
        message for file in files if file.package == PACKAGE for message in file.message_type
    ]
    while waiting:
        message = waiting.pop()
        waiting.extend(message.nested_type)
        # Entries of maps are left out, because their fields must be named key and value and have
        # the numbers 1 and 2.
        if not message.options.map_entry:
            found.append(message)
    return found
