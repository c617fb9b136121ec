"""A sidecar in a process of its own, which can be frozen; prints its port when it is ready."""

import asyncio

from tests.dapr.sidecar import Sidecar


async def _serve():
    async with Sidecar() as sidecar:
        print(sidecar.port, flush=True)  # noqa: T201 - how the parent learns it
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve())
