"""The sidecar: its address and token, the JSON format of events, and hints for its errors."""

# Listed here, because other wings and distributions import only from the `__init__` of a wing.

from . import cloudevents_json, endpoint
from .endpoint import resolve_token
from .error_hints import add_hint
from .json_template import JsonTemplate

__all__ = [
    "JsonTemplate",
    "add_hint",
    "cloudevents_json",
    "endpoint",
    "resolve_token",
]
