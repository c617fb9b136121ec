"""A Dapr app: handlers, and the servers that a sidecar calls."""

# Listed here, because other wings and distributions import only from the `__init__` of a wing.

from .app import DaprApp
from .attachment import Attachment
from .handler_types import BindingRequest, Drop, InvocationRequest
from .registry import BulkDelivery

__all__ = [
    "Attachment",
    "BindingRequest",
    "BulkDelivery",
    "DaprApp",
    "Drop",
    "InvocationRequest",
]
