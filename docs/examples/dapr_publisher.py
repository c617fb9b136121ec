"""Publish through the Dapr sidecar, past the gateway."""

import asyncio
from virtufin.api.client import DaprPublisher

async def main():
    publisher = DaprPublisher(pubsub_name="pubsub")
    result = await publisher.publish_async("my-topic", {"key": "value"})
    print(f"Published: {result['success']}")
    await publisher.close()

asyncio.run(main())
