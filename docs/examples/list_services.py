"""List services, and the methods of one of them."""

import asyncio
from virtufin.api.client import ApiClient

async def main():
    async with ApiClient() as client:
        services = await client.list_services_async()
        print(services)

        for method in await client.list_methods_async("workmanager"):
            print(f"  {method['full_name']}")

asyncio.run(main())
