"""Message layouts that the emulator can serve, derived from the packaged layout."""

from .descriptor_sets import DescriptorSet, DescriptorSource, StaticSource, closure
from .named_wires import WIRES, WireName, chosen_wire
from .passthrough_events import EVENT, PUBLISH, SUBSCRIBE, with_passthrough_events
from .wire_files import file_copies, wire_copies

__all__ = [
    "EVENT",
    "PUBLISH",
    "SUBSCRIBE",
    "WIRES",
    "DescriptorSet",
    "DescriptorSource",
    "StaticSource",
    "WireName",
    "chosen_wire",
    "closure",
    "file_copies",
    "wire_copies",
    "with_passthrough_events",
]
