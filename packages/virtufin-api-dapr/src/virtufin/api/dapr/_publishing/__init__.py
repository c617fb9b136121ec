"""Publishing through a sidecar: single events, many events, and batches."""

# Listed here, because other wings and distributions import only from the `__init__` of a wing.

from .batch_publisher import BatchPublisher, BatchStats
from .capacity import Capacity
from .publisher import DaprPublisher
from .receipt import Receipt
from .results import FailedEvent, PublishFailedError, PublishManyResult

__all__ = [
    "BatchPublisher",
    "BatchStats",
    "Capacity",
    "DaprPublisher",
    "FailedEvent",
    "PublishFailedError",
    "PublishManyResult",
    "Receipt",
]
