"""Publishing through a real sidecar with a real Redis, against dapr's own asyncio client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable

from pairs import Bound, Row, compare, in_flight

from virtufin.api.dapr import DaprPublisher
from virtufin.api.emulator import sidecar

IN_FLIGHT = 64
BULK = 100
EVENT = {"symbol": "ABC", "price": 1.5, "size": 100}
BODY = json.dumps(EVENT)
# About 200 bytes as a whole CloudEvent's data.
LARGER = {**EVENT, "note": "x" * 150}


async def rows(quick: bool) -> AsyncIterator[Row]:
    """Yields each row when it is measured."""
    with sidecar.Redis(persistent=False) as redis:
        limited = {"maxLenApprox": "1000"}
        components = sidecar.redis_components(redis, pubsub_metadata=limited)
        with sidecar.Sidecar("benchmark", components) as dapr:
            async for row in _rows(dapr.address, quick):
                yield row


async def _rows(address: str, quick: bool) -> AsyncIterator[Row]:
    events, rounds = (1000, 3) if quick else (4000, 7)
    async with _dapr_client(address) as dapr, DaprPublisher(address=address) as publisher:

        async def publish_event() -> None:
            await dapr.publish_event("pubsub", "prices", BODY, data_content_type="application/json")

        async def publish_events() -> int:
            for _ in range(events // BULK):
                await dapr.publish_events(
                    "pubsub", "prices", [BODY] * BULK, data_content_type="application/json"
                )
            return events

        async def publish_async() -> None:
            await publisher.publish_async("prices", EVENT)

        async def many() -> int:
            await publisher.publish_many_async("prices", [EVENT] * events)
            return events

        async def batch(data: object = EVENT, count: int = events) -> int:
            async with publisher.batching() as batching:
                for _ in range(count):
                    await batching.publish_async("prices", data)
            return count

        singles = in_flight(publish_event, IN_FLIGHT, events)
        bulks = f"publish_events, {BULK} a call"
        ways: list[
            tuple[
                str, str, Callable[[], Awaitable[int]], Callable[..., Awaitable[int]], list[Bound]
            ]
        ] = [
            (
                f"publish_async, {IN_FLIGHT} in flight",
                f"publish_event, {IN_FLIGHT} in flight",
                singles,
                in_flight(publish_async, IN_FLIGHT, events),
                [Bound("rate", at_least=1.1), Bound("cpu", at_most=1.0)],
            ),
            (
                "publish_many_async",
                bulks,
                publish_events,
                many,
                [Bound("rate", at_least=1.2), Bound("cpu", at_most=1.1)],
            ),
            (
                "batching",
                bulks,
                publish_events,
                batch,
                [Bound("rate", at_least=1.1), Bound("cpu", at_most=1.6)],
            ),
        ]
        for what, peer, base, ours, bounds in ways:
            row = Row("publishing", what, f"dapr's {peer}", "publisher", "event", bounds)
            yield await compare(row, base, ours, rounds=rounds)
        count = 10_000 if quick else 100_000
        row = Row(
            "publishing",
            f"batching, {count:,} events of 200 bytes",
            f"dapr's publish_event, {IN_FLIGHT} in flight",
            "publisher",
            "event",
            [Bound("rate", at_least=3)],
        )
        yield await compare(row, singles, lambda: batch(LARGER, count), rounds=1 if quick else 2)


def _dapr_client(address: str):
    """Returns dapr's asyncio client, without its wait for a sidecar's HTTP port."""
    from dapr.aio.clients import DaprClient
    from dapr.clients.health import DaprHealth

    # Its check uses an HTTP port, which the benchmark does not name, and blocks.
    DaprHealth.wait_for_sidecar = staticmethod(lambda *_, **__: None)
    return DaprClient(address=address)
