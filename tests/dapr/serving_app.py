"""An app in a process of its own: prints its port, then handles slowly until SIGTERM."""

import asyncio
import sys

from virtufin.api.dapr import DaprApp

app = DaprApp(port=0, grace=float(sys.argv[1]), max_concurrency=20)


@app.subscribe("orders")
async def handler(event):
    if event.message_id == "timed":
        print("began", flush=True)  # noqa: T201
    await asyncio.sleep(event.data_as_json())


async def main():
    serving = asyncio.ensure_future(app.serve())
    while not app.port:
        await asyncio.sleep(0.001)
    print(app.port, flush=True)  # noqa: T201 - for the test
    await serving
    print("ended", flush=True)  # noqa: T201


asyncio.run(main())
