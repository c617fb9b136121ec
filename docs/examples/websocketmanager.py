"""Call any method of the WebSocketManager by its name."""

import asyncio
from virtufin.api.client import ApiClient

async def main():
    async with ApiClient() as client:
        wsm = client.gateway.websocketmanager

        # List — no request fields; returns {"connections": [...]}
        connections = await wsm.List()
        for c in connections["connections"]:
            print(f"  {c['id']}: {c['url']} ({c['status']})")

        # Connect — url, auto_reconnect
        conn = await wsm.Connect({
            "url": "wss://stream.example.com/feed",
            "auto_reconnect": True,
        })
        connection_id = conn["id"]

        # Disconnect — id field
        await wsm.Disconnect({"id": connection_id})
        print("  connected and disconnected one more")

asyncio.run(main())
