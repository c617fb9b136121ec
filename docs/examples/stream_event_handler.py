"""A handler made of two functions."""

import asyncio
from virtufin.api.client import ApiClient, StreamEventHandler

handler = StreamEventHandler(
    on_event=lambda e: print(f"Event: {e.service}/{e.topic}"),
    on_error=lambda ex: print(f"Error: {ex}")
)

async def main():
    async with ApiClient() as client:
        await client.subscribe_async_with_handler(handler, topics=["my-topic"])
        await client.pubsub.publish_async("my-topic", "Hello")
        await asyncio.sleep(0.5)

asyncio.run(main())
