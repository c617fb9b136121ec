"""Quick start: connect and ask which services there are."""

import asyncio
from virtufin.api.client import ApiClient

async def main():
    async with ApiClient() as client:
        services = await client.list_services_async()
        print(f"Services: {services}")

asyncio.run(main())
