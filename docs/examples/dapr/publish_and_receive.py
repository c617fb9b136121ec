"""Publish past the gateway, in batches, and receive at the gateway."""

import asyncio
from virtufin.api.client import ApiClient, DaprPublisher

EVENTS = 1000

async def main():
    async with ApiClient() as client, DaprPublisher(pubsub_name="pubsub") as publisher:
        async with await client.pubsub.subscribe_async("prices") as subscription:
            async with publisher.batching() as batch:
                for number in range(EVENTS):
                    await batch.publish_async("prices", {"symbol": "ABC", "number": number})
            print(f"Accepted by the sidecar: {batch.stats.published}")
            numbers = set()
            async for event in subscription:
                numbers.add(event.data_as_json()["number"])
                if len(numbers) == EVENTS:
                    break
        print(f"Received at the gateway: {len(numbers)}")

asyncio.run(main())
