"""Publishing through a Dapr sidecar, past the gateway.

Example:
    >>> from virtufin.api.dapr import DaprPublisher
    >>> async def main():
    ...     async with DaprPublisher(pubsub_name="pubsub") as publisher:
    ...         await publisher.publish_async("prices", {"symbol": "ABC", "price": 1.5})
"""

from virtufin.api.dapr._batching import BatchPublisher, BatchStats
from virtufin.api.dapr._outcomes import FailedEvent, PublishFailedError, PublishManyResult
from virtufin.api.dapr._publisher import DaprPublisher
from virtufin.api.dapr._receipt import Receipt
from virtufin.api.dapr._version import __version__

__all__ = [
    "BatchPublisher",
    "BatchStats",
    "DaprPublisher",
    "FailedEvent",
    "PublishFailedError",
    "PublishManyResult",
    "Receipt",
    "__version__",
]
