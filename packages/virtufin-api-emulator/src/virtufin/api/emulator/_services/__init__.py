"""The services of the gateway, in any message layout."""

from .descriptors import server_descriptors
from .event_layouts import is_flat, json_event
from .handlers import handlers
from .reflection import reflection_handlers
from .services import INFRASTRUCTURE, Behaviour, Servicers

__all__ = [
    "INFRASTRUCTURE",
    "Behaviour",
    "Servicers",
    "handlers",
    "is_flat",
    "json_event",
    "reflection_handlers",
    "server_descriptors",
]
