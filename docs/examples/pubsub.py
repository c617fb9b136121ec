"""Publish events and receive them."""

import asyncio
from virtufin.api.client import ApiClient

SECONDS_BETWEEN = 1

async def main():
    async with ApiClient() as client:
        topic = "my-topic"

        # Subscribe
        async def collect():
            async for event in client.pubsub.subscribe_async_iter(topic):
                print(f"Received: {event.data_as_text()}")

        sub_task = asyncio.create_task(collect())

        # Publish events
        for i in range(5):
            await client.pubsub.publish_async(topic, f"Message {i}")
            await asyncio.sleep(SECONDS_BETWEEN)

        sub_task.cancel()
        try:
            await sub_task
        except asyncio.CancelledError:
            pass

asyncio.run(main())
