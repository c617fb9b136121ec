"""A hundred thousand events through batches, a real sidecar and Redis, counted and compared."""

import asyncio
import hashlib
import os
import time

import pytest

from tests.timing import UNIT
from virtufin.api.dapr import DaprPublisher

EVENTS = int(os.environ.get("VIRTUFIN_TEST_EVENTS") or 100_000)


def content(number):
    """Returns the payload of the event of that number; no two are alike."""
    return {"number": number, "digest": hashlib.sha256(str(number).encode()).hexdigest()}


@pytest.mark.heavy
@pytest.mark.timeout(600)
async def test_every_event_of_a_large_batch_arrives(
    replicas, publishing_sidecar, connect, topic, record_property
):
    arrived = {}
    began = time.monotonic()
    async with await connect(replicas[0]).pubsub.subscribe_async(topic) as subscription:

        async def receive():
            async for event in subscription:
                data = event.data_as_json()
                assert data == content(data["number"])
                assert data["number"] not in arrived, "it arrived twice"
                arrived[data["number"]] = event.message_id
                if len(arrived) == EVENTS:
                    return

        receiving = asyncio.create_task(receive())
        async with DaprPublisher(address=publishing_sidecar.address) as publisher:
            async with publisher.batching() as batch:
                for number in range(EVENTS):
                    await batch.publish_async(topic, content(number), {"ce-id": str(number)})
            record_property("seconds to publish", time.monotonic() - began)
            assert batch.stats.published == EVENTS
            assert batch.stats.failed == 0
        await asyncio.wait_for(receiving, 500 * UNIT)
    record_property("seconds in all", time.monotonic() - began)
    print(f"{EVENTS} events in {time.monotonic() - began:.0f} s")  # noqa: T201
    assert arrived == {number: str(number) for number in range(EVENTS)}
