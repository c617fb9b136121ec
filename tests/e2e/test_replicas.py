"""Two gateways, each with a sidecar of its own, on one Redis."""

import asyncio

import grpc.aio
import pytest
from dapr.proto import api_service_v1, api_v1

from tests.timing import UNIT
from virtufin.api.client import errors
from virtufin.api.client.events import to_cloudevent
from virtufin.api.dapr import DaprPublisher


async def take(subscription, count):
    """The next events of a subscription."""

    async def collect():
        return [await subscription.__anext__() for _ in range(count)]

    return await asyncio.wait_for(collect(), 20 * UNIT)


@pytest.fixture
async def clients(replicas, connect):
    return [connect(replica) for replica in replicas]


@pytest.fixture
async def subscriptions(clients, topic):
    """A live subscription at each gateway."""
    return [await client.pubsub.subscribe_async(topic) for client in clients]


async def test_an_event_published_at_one_reaches_the_subscribers_of_both(
    clients, subscriptions, topic
):
    second_at_the_first = await clients[0].pubsub.subscribe_async(topic)
    sent = to_cloudevent({"price": 1.5}, subject="abc/1", extensions={"runid": 7, "live": True})
    await clients[0].pubsub.publish_async(topic, sent)
    for subscription in (*subscriptions, second_at_the_first):
        [event] = await take(subscription, 1)
        assert (event.topic, event.cloudevent) == (topic, sent)


async def test_an_event_published_past_the_gateways_reaches_both(
    publishing_sidecar, subscriptions, topic
):
    sent = to_cloudevent("text", correlation_id="c")
    async with DaprPublisher(address=publishing_sidecar.address) as publisher:
        await publisher.publish_async(topic, sent)
    for subscription in subscriptions:
        [event] = await take(subscription, 1)
        assert event.cloudevent == sent


async def test_an_event_of_a_foreign_dapr_app_reaches_both(
    publishing_sidecar, subscriptions, topic
):
    async with grpc.aio.insecure_channel(publishing_sidecar.address) as channel:
        request = api_v1.PublishEventRequest(
            pubsub_name="pubsub",
            topic=topic,
            data=b'{"a": 1}',
            data_content_type="application/json",
        )
        await api_service_v1.DaprStub(channel).PublishEvent(request)
    for subscription in subscriptions:
        [event] = await take(subscription, 1)
        assert event.data_as_json() == {"a": 1}
        assert event.source == "publisher"
        assert event.type == "com.dapr.event.sent"


async def test_a_repeat_of_an_event_is_dropped(publishing_sidecar, subscriptions, topic):
    first = to_cloudevent(1, {"ce-id": "1"})
    async with DaprPublisher(address=publishing_sidecar.address) as publisher:
        for event in (first, first, to_cloudevent(2, {"ce-id": "2"})):
            await publisher.publish_async(topic, event)
    for subscription in subscriptions:
        events = await take(subscription, 2)
        assert sorted(event.data_as_json() for event in events) == [1, 2]


async def test_both_see_the_same_state(clients):
    one, other = (client.state for client in clients)
    await one.save("workmanager", "shared", "1")
    found = await other.get("workmanager", "shared")
    assert found["value"] == "1"
    await other.save("workmanager", "shared", "2", etag=found["etag"])
    with pytest.raises(errors.ConflictError):
        await one.save("workmanager", "shared", "lost", etag=found["etag"])
    await one.delete("workmanager", "shared")
    assert not (await other.get("workmanager", "shared"))["found"]


async def test_a_query_says_that_the_store_cannot(clients):
    with pytest.raises(errors.VirtufinError, match="redis-json"):
        await clients[0].state.query("workmanager", {})


async def test_a_new_replica_does_not_hand_on_what_was_before_it(
    publishing_sidecar, start_replica, connect, topic
):
    async with DaprPublisher(address=publishing_sidecar.address) as publisher:
        for number in range(20):
            await publisher.publish_async(topic, number)
        late = connect(await asyncio.to_thread(start_replica, "late"))
        keeper = connect(await asyncio.to_thread(start_replica, "keeper", keep_history=True))
        without = await late.pubsub.subscribe_async(topic)
        with_history = await keeper.pubsub.subscribe_async(topic)
        await publisher.publish_async(topic, "news")
    assert [event.data_as_text() for event in await take(without, 1)] == ["news"]
    events = await take(with_history, 21)
    assert {event.data_as_text() for event in events} == {*map(str, range(20)), "news"}


async def test_subscribing_to_all_topics_is_refused(clients):
    with pytest.raises(errors.VirtufinError, match="topics must not be empty"):
        await clients[0].pubsub.subscribe_async([])


async def test_an_unknown_component_is_named(start_replica, connect, topic):
    replica = await asyncio.to_thread(start_replica, "misled", pubsub_name="none")
    client = connect(replica)
    with pytest.raises(errors.VirtufinError, match="none"):
        await client.pubsub.subscribe_async(topic)
    with pytest.raises(errors.InvalidRequestError, match="none"):
        await client.pubsub.publish_async(topic, 1)
