"""Where state and events are kept: in memory, or by a Dapr sidecar."""

from .backend import Backend, Entry
from .broker import Event, Subscription
from .memory import MemoryBackend

__all__ = [
    "Backend",
    "Entry",
    "Event",
    "MemoryBackend",
    "Subscription",
]
