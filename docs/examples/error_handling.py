"""Errors that a failed call raises."""

import asyncio
import grpc
from virtufin.api.client import ApiClient

async def main():
    async with ApiClient() as client:
        try:
            result = await client.invoke_async("unknown-service", "UnknownMethod", {})
        except grpc.RpcError as e:
            print(f"gRPC error {e.code()}: {e.details()}")
        except ValueError as e:
            print(f"Gateway error: {e}")

asyncio.run(main())
