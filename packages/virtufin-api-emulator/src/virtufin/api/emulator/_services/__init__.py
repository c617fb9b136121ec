"""The gRPC services of the emulated gateway, in any message layout."""

from .all_services import INFRASTRUCTURE, AllServices, Behaviour
from .descriptors import make_server_descriptors
from .event_layouts import has_earlier_events, make_json_event
from .handlers import make_handlers
from .reflection import make_reflection_handlers

__all__ = [
    "INFRASTRUCTURE",
    "AllServices",
    "Behaviour",
    "has_earlier_events",
    "make_handlers",
    "make_json_event",
    "make_reflection_handlers",
    "make_server_descriptors",
]
