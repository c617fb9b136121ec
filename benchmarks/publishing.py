"""Ways to publish through a real sidecar with a real Redis, against 64 single publishes at once."""

import asyncio
import sys

from pairs import compare

from virtufin.api.dapr import DaprPublisher
from virtufin.api.emulator import sidecar

IN_FLIGHT = 64
EVENTS = 4000
EVENT = {"symbol": "ABC", "price": 1.5, "size": 100}


async def at_once(publisher):
    """Single publishes, many in flight."""
    numbers = iter(range(EVENTS))

    async def publish():
        for _ in numbers:
            await publisher.publish_async("prices", EVENT)

    await asyncio.gather(*(publish() for _ in range(IN_FLIGHT)))
    return EVENTS


async def one_by_one(publisher, events=500):
    """Single publishes, one after the other."""
    for _ in range(events):
        await publisher.publish_async("prices", EVENT)
    return events


async def many(publisher):
    """All in one call."""
    await publisher.publish_many_async("prices", [EVENT] * EVENTS)
    return EVENTS


async def batching(publisher, events=EVENTS, **settings):
    """In batches, as they come."""
    async with publisher.batching(**settings) as batch:
        for _ in range(events):
            await batch.publish_async("prices", EVENT)
    return events


async def measure(address):
    """Each way in turn with the same base."""
    labels = (f"{IN_FLIGHT} at once", "this way")
    async with DaprPublisher(address=address) as publisher:
        for what, way in (
            ("one after the other", lambda: one_by_one(publisher)),
            ("publish_many_async", lambda: many(publisher)),
            ("batching", lambda: batching(publisher)),
            ("batching, keep_order", lambda: batching(publisher, 500, keep_order=True)),
        ):
            await compare(what, "event", lambda: at_once(publisher), way, rounds=5, labels=labels)


def main():
    """Prints the ratios, or what is missing for them."""
    try:
        with sidecar.Redis(persistent=False) as redis:
            limited = {"maxLenApprox": "1000"}
            components = sidecar.redis_components(redis, pubsub_metadata=limited)
            with sidecar.Sidecar("benchmark", components) as dapr:
                asyncio.run(measure(dapr.address))
    except sidecar.MissingProgramError as missing:
        sys.exit(f"LEFT OUT: {missing}; scripts/real_parts gets it")


if __name__ == "__main__":
    main()
