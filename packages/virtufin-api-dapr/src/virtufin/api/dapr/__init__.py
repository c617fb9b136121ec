"""Publishing through a Dapr sidecar without the gateway, and handling the sidecar's deliveries.

Example:
    >>> from virtufin.api.dapr import DaprPublisher
    >>> async def main():
    ...     async with DaprPublisher(pubsub_name="pubsub") as publisher:
    ...         await publisher.publish_async("prices", {"symbol": "ABC", "price": 1.5})
"""

# All public names are importable from here, because modules that begin with an underscore may
# change in any release.
from virtufin.api.dapr._app import (
    Attachment,
    BindingRequest,
    BulkDelivery,
    DaprApp,
    Drop,
    InvocationRequest,
)
from virtufin.api.dapr._publishing import (
    BatchPublisher,
    BatchStats,
    DaprPublisher,
    FailedEvent,
    PublishFailedError,
    PublishManyResult,
    Receipt,
)
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
