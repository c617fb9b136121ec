"""The sidecar: where it is, how it takes events, and what its errors mean."""

from . import cloudevents_json, endpoint
from .endpoint import resolved_token
from .error_hints import explained

__all__ = [
    "cloudevents_json",
    "endpoint",
    "explained",
    "resolved_token",
]
