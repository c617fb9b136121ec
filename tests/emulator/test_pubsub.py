"""virtufin.Pubsub."""

import asyncio

import grpc
import pytest
from google.protobuf.internal import encoder

from virtufin.api.protos import cloudevents_pb2, pubsub_pb2, pubsub_pb2_grpc


@pytest.fixture
def publish(stubs):
    async def send(topic, text="", **fields):
        event = cloudevents_pb2.CloudEvent(id="1", text_data=text, **fields)
        request = pubsub_pb2.PublishRequest(topic=topic, cloudevent=event)
        return (await stubs.pubsub.PublishEvent(request)).status

    return send


async def read(stream, count):
    items = [await stream.read() for _ in range(count)]
    return [(item.topic, item.cloudevent.text_data) for item in items]


async def test_every_subscriber_gets_every_event_of_its_topics(publish, subscribe):
    first, second = await subscribe("a", "b"), await subscribe("b")
    for topic in "abc":
        assert (await publish(topic, topic)).success
    assert await read(first, 2) == [("a", "a"), ("b", "b")]
    assert await read(second, 1) == [("b", "b")]


async def test_no_topics_means_all_topics(publish, subscribe):
    stream = await subscribe()
    await publish("a", "1")
    await publish("b", "2")
    assert await read(stream, 2) == [("a", "1"), ("b", "2")]


async def test_a_topic_named_twice_is_delivered_once(publish, subscribe):
    stream = await subscribe("a", "a")
    await publish("a", "1")
    await publish("a", "2")
    assert await read(stream, 2) == [("a", "1"), ("a", "2")]


async def test_order_is_kept(publish, subscribe):
    stream = await subscribe("a")
    for number in range(200):
        await publish("a", str(number))
    assert await read(stream, 200) == [("a", str(number)) for number in range(200)]


async def test_events_before_the_subscription_are_not_replayed(publish, subscribe):
    await publish("a", "early")
    stream = await subscribe("a")
    await publish("a", "late")
    assert await read(stream, 1) == [("a", "late")]


async def test_headers_are_sent_once_the_subscription_is_live(stubs, publish, unit):
    stream = stubs.pubsub.Subscribe(pubsub_pb2.SubscribeRequest(topics=["a"]))
    await asyncio.wait_for(stream.initial_metadata(), 5 * unit)
    await publish("a", "first")
    assert await read(stream, 1) == [("a", "first")]


async def test_headers_can_be_held_until_the_first_event(start, stubs_of, unit):
    gateway = await start(hold_headers=True)
    pubsub = stubs_of(gateway).pubsub
    stream = pubsub.Subscribe(pubsub_pb2.SubscribeRequest(topics=["a"]))
    headers = asyncio.ensure_future(stream.initial_metadata())
    while not gateway.faults.open_streams:
        await asyncio.sleep(0)
    done, _ = await asyncio.wait([headers], timeout=0.1 * unit)
    assert not done
    event = cloudevents_pb2.CloudEvent(id="1")
    await pubsub.PublishEvent(pubsub_pb2.PublishRequest(topic="a", cloudevent=event))
    await asyncio.wait_for(headers, 5 * unit)
    assert (await stream.read()).cloudevent.id == "1"


def field(number, payload):
    """A length-delimited field."""
    return bytes([number << 3 | 2]) + encoder._VarintBytes(len(payload)) + payload


async def test_an_event_passes_with_the_same_bytes(stubs, subscribe):
    stream_raw = stubs.channel.unary_stream("/virtufin.Pubsub/Subscribe")
    publish_raw = stubs.channel.unary_unary("/virtufin.Pubsub/PublishEvent")
    stream = stream_raw(field(1, b"a"))
    await stream.initial_metadata()

    def attribute(name, text):
        return field(5, field(1, name) + field(2, field(3, text)))

    # Map entries in no order, an unknown field, fields not by number: no serializer writes this.
    event = (
        field(7, b"data")
        + attribute(b"zeta", b"1")
        + attribute(b"alpha", b"2")
        + field(15, b"unknown")
        + field(1, b"id")
    )
    cloudevents_pb2.CloudEvent.FromString(event)
    await publish_raw(field(1, b"a") + field(2, event))
    assert await stream.read() == field(1, b"a") + field(2, event)


async def test_publishing_without_topic_is_an_invalid_argument(publish, refused):
    assert (await refused(publish(""))).code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_publishing_without_event_is_an_invalid_argument(stubs, refused):
    call = stubs.pubsub.PublishEvent(pubsub_pb2.PublishRequest(topic="a"))
    assert (await refused(call)).code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_event_that_is_none_is_refused(stubs, refused):
    publish_raw = stubs.channel.unary_unary("/virtufin.Pubsub/PublishEvent")
    error = await refused(publish_raw(field(1, b"a") + field(2, b"\xff\xff")))
    assert error.code() is grpc.StatusCode.INTERNAL


async def test_subscribing_to_an_empty_topic_is_an_invalid_argument(stubs, refused):
    stream = stubs.pubsub.Subscribe(pubsub_pb2.SubscribeRequest(topics=["a", ""]))
    assert (await refused(stream.read())).code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_unsubscribing_answers_not_found_in_band(stubs):
    request = pubsub_pb2.UnsubscribeRequest(subscription_id="x")
    status = (await stubs.pubsub.Unsubscribe(request)).status
    assert (status.success, status.status) == (False, "NOT_FOUND")
    assert "'x'" in status.message


async def until(condition, seconds):
    async def poll():
        while not condition():
            await asyncio.sleep(0.001)

    await asyncio.wait_for(poll(), seconds)


async def test_a_cancelled_stream_frees_its_subscription_at_once(gateway, subscribe, unit):
    stream = await subscribe("a")
    assert gateway.faults.open_streams == 1
    stream.cancel()
    await until(lambda: gateway.faults.open_streams == 0, unit)
    assert not gateway._backend._broker.subscriptions()


async def test_a_broken_connection_frees_its_subscriptions_at_once(gateway, relay, connect, unit):
    stub = pubsub_pb2_grpc.PubsubStub(connect(await relay.start(gateway.port)))
    streams = []
    for topics in (["a", "b"], []):
        streams.append(stub.Subscribe(pubsub_pb2.SubscribeRequest(topics=topics)))
        await streams[-1].initial_metadata()
    assert gateway.faults.open_streams == 2
    relay.reset()
    await until(lambda: not gateway._backend._broker.subscriptions(), unit)
    assert not gateway._backend._broker._by_topic


@pytest.fixture
async def relay():
    """Something between client and gateway that can break connections."""
    one = Relay()
    yield one
    one.reset()
    one.server.close()
    await asyncio.gather(*one.pumps, return_exceptions=True)
    await one.server.wait_closed()


class Relay:
    def __init__(self):
        self.writers, self.pumps, self.server = [], [], None

    async def start(self, port):
        async def accept(reader, writer):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            self.writers += [writer, far_writer]
            for source, sink in ((reader, far_writer), (far_reader, writer)):
                self.pumps.append(asyncio.ensure_future(self.pump(source, sink)))

        self.server = await asyncio.start_server(accept, "127.0.0.1", 0)
        return f"127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def pump(self, source, sink):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()

    def reset(self):
        for writer in self.writers:
            writer.transport.abort()


async def test_a_stream_that_does_not_read_delays_no_other_and_gets_all_in_order_later(
    publish, subscribe
):
    slow, fast = await subscribe("a"), await subscribe("a")
    texts = [str(number).zfill(100_000) for number in range(50)]
    for text in texts:
        await publish("a", text)
    for stream in (fast, slow):
        assert [text for _, text in await read(stream, 50)] == texts
