"""An instance of an app in a process of its own: port, file for what it handled, seconds each."""

import asyncio
import sys
from pathlib import Path

from virtufin.api.dapr import DaprApp

port, handled, seconds = int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
app = DaprApp(port=port, grace=seconds * 10, max_concurrency=20)


@app.subscribe(sys.argv[4])
async def handler(event):
    await asyncio.sleep(seconds)
    with handled.open("a") as file:  # noqa: ASYNC230 - one line
        file.write(f"{event.data_as_json()}\n")


asyncio.run(app.serve())
