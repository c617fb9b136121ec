"""The message layout that a gateway has, and calls of its methods by name in that layout."""

from .discovery import Discovery
from .earlier_events import flattened, restored
from .rpc import Rpc
from .wire import PACKAGE, Wire

__all__ = [
    "PACKAGE",
    "Discovery",
    "Rpc",
    "Wire",
    "flattened",
    "restored",
]
