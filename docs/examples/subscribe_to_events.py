"""Subscribe to the events of all topics with a handler."""

import asyncio
from virtufin.api.client import ApiClient, StreamEventHandler

SECONDS = 3  # 10 in the reference

async def main():
    async with ApiClient() as client:
        events = []

        class Handler:
            def on_event(self, event):
                events.append(event)
                print(f"Event: {event.service}/{event.topic}")

            def on_error(self, error):
                print(f"Error: {error}")

        handler = Handler()
        await client.subscribe_async_with_handler(handler)

        # Something to receive
        await client.pubsub.publish_async(
            "workmanager.lifecycle", {"id": "w1"}, source="urn:com.virtufin.workmanager"
        )

        # Keep running...
        await asyncio.sleep(SECONDS)

asyncio.run(main())
