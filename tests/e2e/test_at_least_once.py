"""Accepted events arrive although a process is killed; all others are reported."""

import asyncio

import pytest

from tests.timing import UNIT
from virtufin.api.client import errors
from virtufin.api.dapr import DaprPublisher

EVENTS = 1000
AT_ONCE = 20


@pytest.fixture
def victims(replicas, publishing_sidecar, real_redis):
    """The processes on the way from a DaprPublisher to a subscriber of the first gateway."""
    return {
        "the publisher's sidecar": publishing_sidecar,
        "the gateway's sidecar": replicas[0].sidecar,
        "Redis": real_redis,
    }


@pytest.mark.heavy
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "victim", [None, "the publisher's sidecar", "the gateway's sidecar", "Redis"]
)
async def test_accepted_events_arrive_although_a_process_is_killed(
    victim, victims, replicas, publishing_sidecar, connect, topic
):
    topic = topic.replace(" ", "-")
    client = connect(replicas[0])
    arrived = set()
    accepted, refused = set(), set()
    numbers = iter(range(EVENTS))
    half, restarted = asyncio.Event(), asyncio.Event()

    async def publish(publisher):
        for number in numbers:
            if number > EVENTS // 2:
                half.set()
            try:
                await publisher.publish_async(topic, number, timeout=5 * UNIT)
                accepted.add(number)
            except errors.VirtufinError:
                refused.add(number)
                # However long that takes, the rest is for afterwards: calls fail at once while
                # the channel waits before it connects again.
                await restarted.wait()
                await until_accepted(publisher, topic)

    async def kill():
        await half.wait()
        if victim is not None:
            await asyncio.to_thread(victims[victim].restart)
        restarted.set()

    async with await client.pubsub.subscribe_async(topic) as subscription:

        async def receive():
            async for event in subscription:
                arrived.add(event.data_as_json())
                if half.is_set() and publishing.done() and accepted <= arrived:
                    return

        async with DaprPublisher(address=publishing_sidecar.address) as publisher:
            publishing = asyncio.gather(kill(), *(publish(publisher) for _ in range(AT_ONCE)))
            receiving = asyncio.create_task(receive())
            await publishing
            # Else nothing would wake a receiver that has everything already.
            await until_accepted(publisher, topic)
        await asyncio.wait([receiving], timeout=60 * UNIT)
        receiving.cancel()
    assert accepted | refused == set(range(EVENTS))
    assert accepted <= arrived, f"{len(accepted - arrived)} of {len(accepted)} are missing"
    if victim is None:
        assert not refused
    else:
        assert len(accepted) > EVENTS // 2


async def until_accepted(publisher, topic):
    """Publishes another event until the sidecar accepts it."""
    while True:
        try:
            return await publisher.publish_async(topic, -1, timeout=5 * UNIT)
        except errors.VirtufinError:
            await asyncio.sleep(0.1 * UNIT)
