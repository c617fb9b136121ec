"""Subscribers while a sidecar or Redis is killed and comes back."""

import asyncio

import grpc.aio
import pytest
from dapr.proto import api_service_v1, api_v1

from tests.e2e.patience import until_answered
from tests.timing import UNIT
from virtufin.api.client import errors
from virtufin.api.dapr import DaprPublisher

pytestmark = pytest.mark.heavy


async def test_a_subscription_outlives_the_sidecar_of_its_gateway(
    replicas, publishing_sidecar, connect, topic
):
    replica = replicas[0]
    subscription = await connect(replica).pubsub.subscribe_async(topic)
    async with DaprPublisher(address=publishing_sidecar.address) as publisher:
        await publisher.publish_async(topic, "before")
        assert await text_of_next(subscription) == "before"
        await asyncio.to_thread(replica.sidecar.kill)
        await publisher.publish_async(topic, "in between")
        await asyncio.to_thread(replica.sidecar.start)
        assert await text_of_next(subscription) == "in between"
        await publisher.publish_async(topic, "after")
        assert await text_of_next(subscription) == "after"
    assert subscription.stats.interruptions == 0


async def test_calls_without_the_sidecar_say_so_and_work_again_later(replicas, connect, topic):
    replica = replicas[0]
    client = connect(replica)
    await client.state.save("workmanager", "k", "v")
    await asyncio.to_thread(replica.sidecar.kill)
    for call in (
        client.state.save("workmanager", "k", "lost"),
        client.pubsub.publish_async(topic, "lost"),
    ):
        with pytest.raises(errors.UnavailableError, match="Dapr sidecar"):
            await call
    subscription = await client.pubsub.subscribe_async(topic)
    assert not subscription.confirmed
    await asyncio.to_thread(replica.sidecar.start)
    await until_answered(lambda: client.state.save("workmanager", "k", "new"))
    assert (await client.state.get("workmanager", "k"))["value"] == "new"
    assert await subscription.ready(20 * UNIT)
    await client.pubsub.publish_async(topic, "found")
    assert await text_of_next(subscription) == "found"


async def test_a_subscription_outlives_redis(replicas, real_redis, connect, topic):
    client = connect(replicas[1])
    subscription = await client.pubsub.subscribe_async(topic)
    await client.pubsub.publish_async(topic, "before")
    assert await text_of_next(subscription) == "before"
    await asyncio.to_thread(real_redis.kill)
    with pytest.raises(errors.VirtufinError):
        await client.pubsub.publish_async(topic, "lost")
    await asyncio.to_thread(real_redis.start)
    await until_answered(lambda: client.pubsub.publish_async(topic, "after"))
    assert await text_of_next(subscription) == "after"


async def test_events_that_a_gateway_never_acknowledged_come_again(
    start_sidecar, publishing_sidecar, topic
):
    sidecar = await asyncio.to_thread(start_sidecar, "abandoned")
    initial = api_v1.SubscribeTopicEventsRequestAlpha1()
    initial.initial_request.pubsub_name, initial.initial_request.topic = "pubsub", topic
    async with (
        grpc.aio.insecure_channel(sidecar.address) as channel,
        DaprPublisher(address=publishing_sidecar.address) as publisher,
    ):
        stub = api_service_v1.DaprStub(channel)

        async def take(count):
            stream = stub.SubscribeTopicEventsAlpha1()
            await stream.write(initial)
            assert (await stream.read()).HasField("initial_response")
            taken = {(await stream.read()).event_message.id for _ in range(count)}
            stream.cancel()
            return taken

        # As many as the component hands on at a time.
        await publisher.publish_many_async(topic, range(10))
        taken = await asyncio.wait_for(take(10), 20 * UNIT)
        assert await asyncio.wait_for(take(10), 20 * UNIT) == taken


async def test_a_gateway_can_have_many_topics(replicas, connect, topic):
    client = connect(replicas[0])
    for number in range(60):
        subscription = await client.pubsub.subscribe_async(f"{topic}.{number}")
        await client.pubsub.publish_async(f"{topic}.{number}", "x")
        assert await text_of_next(subscription) == "x"


async def text_of_next(subscription):
    event = await asyncio.wait_for(subscription.__anext__(), 20 * UNIT)
    return event.data_as_text()
