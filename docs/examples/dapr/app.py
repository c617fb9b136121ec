"""A Dapr app: handles commands that come over its sidecar, and answers them."""

import asyncio
from virtufin.api.dapr import DaprApp

app = DaprApp(pubsub_name="pubsub")

@app.subscribe("commands")
async def on_command(event):
    command = event.data_as_text()
    print(f"Command: {command}")
    return {"command": command, "done": True}

asyncio.run(app.serve())
