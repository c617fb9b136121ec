"""The message layout of a gateway, and calls of the gateway's methods by name in that layout."""

# Other packages import from here only, so that its modules can change.
from .discovery import LIFETIME, Discovery
from .earlier_events import flattened, restored
from .rpc import Rpc
from .wire import PACKAGE, Wire

__all__ = [
    "LIFETIME",
    "PACKAGE",
    "Discovery",
    "Rpc",
    "Wire",
    "flattened",
    "restored",
]
