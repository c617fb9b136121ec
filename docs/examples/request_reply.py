"""Publish a request and wait for the reply that belongs to it."""

import asyncio
from virtufin.api.client import ApiClient

async def answer(event):
    command = event.data_as_json()["command"]
    return {"command": command, "running": True}

async def main():
    async with ApiClient() as client:
        request_topic = "worker-commands"
        reply_topic = "worker-responses"

        # Usually another process: it answers what is published to the request topic
        await client.pubsub.respond(request_topic, answer)

        # Publish a command and wait for the correlated response
        response = await client.pubsub.publish_with_result_async(
            topic=request_topic,
            data={"command": "status"},
            reply_topic=reply_topic,
            timeout=10.0,
        )
        print(f"Got response: {response.data_as_json()}")

asyncio.run(main())
