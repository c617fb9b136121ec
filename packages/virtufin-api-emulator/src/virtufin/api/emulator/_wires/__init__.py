"""Message layouts that the emulator can serve, derived from the packaged layout.

A message layout says which methods a gateway has, and which fields and numbers their messages have.
In code it is a `Wire`: the methods by name, with their message classes.
"""

from .descriptor_sets import (
    DescriptorSet,
    DescriptorSource,
    StaticSource,
    collect_files,
    copy_files,
    copy_wire_files,
)
from .named_wires import WIRES, WireName, choose_wire
from .passthrough_events import EVENT, PUBLISH, SUBSCRIBE, with_passthrough_events

__all__ = [
    "EVENT",
    "PUBLISH",
    "SUBSCRIBE",
    "WIRES",
    "DescriptorSet",
    "DescriptorSource",
    "StaticSource",
    "WireName",
    "choose_wire",
    "collect_files",
    "copy_files",
    "copy_wire_files",
    "with_passthrough_events",
]
