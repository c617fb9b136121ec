"""A program that subscribes, takes no event until it gets a line, and then takes all.

    python slow_consumer.py HOST PORT COUNT

Says `live`, waits for a line, takes COUNT events and prints as JSON what that came to.
"""

import asyncio
import json
import sys
from pathlib import Path

from virtufin.api.client import ApiClient


def memory(kind):
    """`VmRSS` for the memory in use now, `VmHWM` for its peak, in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{kind}:")[2].split()[0]) * 1024


async def main(host, port, count):
    async with ApiClient(host, int(port)) as client:
        subscription = await client.pubsub.subscribe_async("t")
        before = memory("VmRSS")
        print("live", flush=True)  # noqa: T201 - to the test
        await asyncio.to_thread(sys.stdin.readline)
        held_back = subscription.stats.buffered
        numbers, most, size = [], held_back, 0
        for _ in range(int(count)):
            event = await anext(subscription)
            numbers.append(int(event.data[:8]))
            # The event that was just taken has left the buffer.
            most, size = max(most, subscription.stats.buffered), len(event.data)
        seen = {
            "in_order": numbers == list(range(int(count))),
            "growth": memory("VmHWM") - before,
            "held_back": held_back,
            "events": most,
            "size": most * size,
            "interruptions": subscription.stats.interruptions,
        }
        print(json.dumps(seen))  # noqa: T201


asyncio.run(main(*sys.argv[1:]))
