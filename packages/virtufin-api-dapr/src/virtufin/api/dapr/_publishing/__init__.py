"""Publishing through a sidecar: one event, many, or in batches."""

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
