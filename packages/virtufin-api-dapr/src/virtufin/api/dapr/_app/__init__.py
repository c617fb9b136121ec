"""A Dapr app: handlers, and the servers that a sidecar calls."""

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
