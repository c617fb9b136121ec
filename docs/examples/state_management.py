"""Save state, read it, and read all of a service's keys."""

import asyncio
from virtufin.api.client import ApiClient

async def main():
    async with ApiClient() as client:
        # Save state
        result = await client.save_state_async("workmanager", "mykey", "myvalue")
        print(f"Saved: {result['success']}")

        # Get state
        state = await client.get_state_async("workmanager", "mykey")
        print(f"Value: {state['value']}, Etag: {state['etag']}")

        # Register keys and get all state
        await client.register_keys_async("workmanager", ["key1", "key2"])
        all_state = await client.get_all_state_async("workmanager")
        print(f"All state: {all_state['values']}")

asyncio.run(main())
