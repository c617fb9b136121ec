"""Beside a Dapr sidecar: publishing through it, past the gateway, and handling what it delivers.

Example:
    >>> from virtufin.api.dapr import DaprPublisher
    >>> async def main():
    ...     async with DaprPublisher(pubsub_name="pubsub") as publisher:
    ...         await publisher.publish_async("prices", {"symbol": "ABC", "price": 1.5})
"""

from virtufin.api.dapr._acknowledgement import Drop
from virtufin.api.dapr._app import DaprApp
from virtufin.api.dapr._attachment import Attachment
from virtufin.api.dapr._batching import BatchPublisher, BatchStats
from virtufin.api.dapr._outcomes import FailedEvent, PublishFailedError, PublishManyResult
from virtufin.api.dapr._publisher import DaprPublisher
from virtufin.api.dapr._receipt import Receipt
from virtufin.api.dapr._registrations import BulkDelivery
from virtufin.api.dapr._requests import BindingRequest, InvocationRequest
from virtufin.api.dapr._version import __version__

__all__ = [
    "Attachment",
    "BatchPublisher",
    "BatchStats",
    "BindingRequest",
    "BulkDelivery",
    "DaprApp",
    "DaprPublisher",
    "Drop",
    "FailedEvent",
    "InvocationRequest",
    "PublishFailedError",
    "PublishManyResult",
    "Receipt",
    "__version__",
]
