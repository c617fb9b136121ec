"""Ask a Dapr app through the gateway, and wait for its answer."""

import asyncio
from virtufin.api.client import ApiClient

async def main():
    async with ApiClient() as client:
        for command in ("open", "close"):
            reply = await client.pubsub.publish_with_result_async(
                topic="commands", data=command, reply_topic="answers", timeout=10.0
            )
            print(f"Answer: {reply.data_as_json()}")

asyncio.run(main())
