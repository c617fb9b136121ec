"""The stores of a gateway's state and events: in memory, or on a Dapr sidecar.

In this package such a store is named `Backend`. The services behind the gateway are in
`_invocation`.
"""

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
