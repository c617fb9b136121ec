"""A process of its own that subscribes, takes nothing until told, then takes all.

    python slow_consumer.py HOST PORT COUNT

Says `live`, waits for a line, takes COUNT events and prints as JSON what that came to.
"""

import asyncio
import json
import sys
from pathlib import Path

from virtufin.api.client import ApiClient
from virtufin.api.client._subscriptions import event_stream
from virtufin.api.client._subscriptions.buffer import Buffer


class Watched(Buffer):
    """A buffer that notes the most it ever held."""

    events = size = 0

    def append(self, item, size):
        super().append(item, size)
        Watched.events = max(Watched.events, len(self))
        Watched.size = max(Watched.size, self._bytes)


def memory(kind):
    """`VmRSS` for the memory in use now, `VmHWM` for its peak, in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{kind}:")[2].split()[0]) * 1024


async def main(host, port, count):
    event_stream.Buffer = Watched
    async with ApiClient(host, int(port)) as client:
        subscription = await client.pubsub.subscribe_async("t")
        before = memory("VmRSS")
        print("live", flush=True)  # noqa: T201 - to the test
        await asyncio.to_thread(sys.stdin.readline)
        held_back = subscription.stats.buffered
        numbers = [int((await anext(subscription)).data[:8]) for _ in range(int(count))]
        seen = {
            "in_order": numbers == list(range(int(count))),
            "growth": memory("VmHWM") - before,
            "held_back": held_back,
            "events": Watched.events,
            "size": Watched.size,
            "interruptions": subscription.stats.interruptions,
        }
        print(json.dumps(seen))  # noqa: T201


asyncio.run(main(*sys.argv[1:]))
