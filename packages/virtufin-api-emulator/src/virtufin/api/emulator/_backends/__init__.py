"""Backends for state and events: in memory, or on a Dapr sidecar."""

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
