"""Topics of a gateway on a sidecar that misbehaves in ways a real one seldom does on demand."""

import asyncio
import itertools
from datetime import datetime, timedelta, timezone

import grpc
import grpc.aio
import pytest

from tests.timing import UNIT, until
from virtufin.api.emulator import DaprSettings
from virtufin.api.protos import pubsub_pb2

proto = pytest.importorskip("dapr.proto", reason="the Dapr plugin is not installed")
pytest.importorskip("virtufin.api.dapr", reason="the Dapr plugin is not installed")


class Streams(proto.api_service_v1.DaprServicer):
    """The subscribing part of a sidecar: does on the next stream what a test has put in.

    While `open` is not set, it confirms nothing.
    """

    def __init__(self):
        self.scripts = []
        self.opened = []
        self.acknowledged = []
        self.open = asyncio.Event()
        self.open.set()

    async def SubscribeTopicEventsAlpha1(self, requests, context):
        clock = asyncio.get_running_loop().time
        first = await anext(requests)
        self.opened.append((first.initial_request.topic, clock()))
        await self.open.wait()
        yield proto.api_v1.SubscribeTopicEventsResponseAlpha1(initial_response={})
        script = self.scripts.pop(0) if self.scripts else hold
        async for event in script(context):
            yield proto.api_v1.SubscribeTopicEventsResponseAlpha1(event_message=event)
            if event.id == "unacknowledged":
                continue
            self.acknowledged.append((await anext(requests)).event_processed.id)


async def hold(context):
    await asyncio.Event().wait()
    yield


def event(number, *, time=None, **attributes):
    request = proto.appcallback_v1.TopicEventRequest(
        id=str(number), source="urn:s", type="t", spec_version="1.0", topic="t"
    )
    if time is not None:
        request.extensions["time"] = time
    for name, value in attributes.items():
        request.extensions[name] = value
    return request


@pytest.fixture
async def streams(serve_sidecar):
    return await serve_sidecar(Streams())


@pytest.fixture
def start_on(streams, start):
    """Starts a gateway on the sidecar: `await start_on(keep_history=True)`."""
    return lambda **settings: start(dapr=DaprSettings(address=streams.address, **settings))


@pytest.fixture
async def gateway(start_on):
    return await start_on()


@pytest.fixture
async def skip_time(monkeypatch):
    """Sets the clock of the event loop forward: `skip_time(seconds)`. What is due runs at once."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, asyncio.BaseEventLoop):
        pytest.skip("the timers of this loop do not follow its clock")
    skipped, time = [], loop.time
    monkeypatch.setattr(loop, "time", lambda: time() + sum(skipped))
    return skipped.append


async def ids(stream, count):
    return [(await asyncio.wait_for(stream.read(), 10 * UNIT)).cloudevent.id for _ in range(count)]


async def test_an_event_that_cannot_be_read_is_dropped_and_the_next_is_not(
    streams, subscribe, caplog
):
    async def script(context):
        yield event(1, ratios=[float("nan")])
        yield event(2)
        await asyncio.Event().wait()

    streams.scripts = [script]
    stream = await subscribe("t")
    assert await ids(stream, 1) == ["2"]
    assert "event '1' cannot be read" in caplog.text
    await until(lambda: streams.acknowledged == ["1", "2"])


async def test_a_stream_that_ends_before_its_events_are_acknowledged_is_opened_again(
    streams, subscribe
):
    async def break_off(context):
        for _ in range(20):
            yield event("unacknowledged")
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the sidecar ends")

    async def go_on(context):
        yield event("last")
        await asyncio.Event().wait()

    streams.scripts = [break_off] * 3 + [go_on]
    stream = await subscribe("t")
    assert await ids(stream, 2) == ["unacknowledged", "last"]


async def test_a_stream_that_was_stable_is_opened_again_soon(streams, subscribe, skip_time):
    times, stable, enough = 30, 10, asyncio.Event()

    async def end_later(context):
        # After the acknowledgement of the event the stream is live.
        yield event(len(streams.opened))
        skip_time(stable)
        if len(streams.opened) == times:
            enough.set()

    streams.scripts = [end_later] * times
    await subscribe("t")
    # The waits take 3 s. If they grew from stream to stream, they would take more than 80 s.
    await asyncio.wait_for(enough.wait(), times * stable + 60 * UNIT)
    assert len(streams.opened) >= times


async def test_a_stream_that_was_not_stable_waits_longer_each_time(streams, subscribe):
    async def end(context):
        return
        yield

    streams.scripts = [end] * 4
    await subscribe("t")
    await until(lambda: len(streams.opened) == 5, "the fifth stream")
    moments = [moment for _, moment in streams.opened]
    waits = [later - sooner for sooner, later in itertools.pairwise(moments)]
    # 0.1 s, doubled each time, of which at most 30 % are left out at random.
    assert all(wait >= 0.07 * 2**number for number, wait in enumerate(waits))


async def test_events_sent_with_the_confirmation_reach_the_waiting_subscriber(
    start_on, streams, connect
):
    gateway = await start_on(keep_history=True)

    async def script(context):
        for number in range(5):
            yield event(number)
        await asyncio.Event().wait()

    streams.scripts = [script]
    stream = subscription(connect(gateway.target), "t")
    assert await ids(stream, 5) == ["0", "1", "2", "3", "4"]


async def test_history_is_none_however_long_the_sidecar_takes(gateway, streams, connect, skip_time):
    now = datetime.now(timezone.utc)
    go = asyncio.Event()

    async def script(context):
        await go.wait()
        yield event("old", time=(now - timedelta(hours=1)).isoformat())
        yield event("new", time=(now + timedelta(hours=1)).isoformat())
        await asyncio.Event().wait()

    streams.scripts = [script]
    streams.open.clear()
    channel = connect(gateway.target)
    waiting = subscription(channel, "t")
    await until(lambda: streams.opened, "the stream")
    skip_time(3600)
    assert await waiting.code() is grpc.StatusCode.UNAVAILABLE
    assert "did not confirm" in await waiting.details()
    stream = subscription(channel, "t")
    streams.open.set()
    await stream.initial_metadata()
    go.set()
    assert await ids(stream, 1) == ["new"]


async def test_a_subscription_that_waits_for_the_sidecar_ends_at_once_with_the_gateway(
    gateway, streams, connect
):
    streams.open.clear()
    stream = subscription(connect(gateway.target), "t")
    await until(lambda: streams.opened, "the stream")
    stopping = asyncio.create_task(gateway.stop(grace=600 * UNIT))
    assert await asyncio.wait_for(stream.code(), 10 * UNIT) is grpc.StatusCode.UNAVAILABLE
    assert await stream.details() == "the gateway is shutting down"
    await stopping


def subscription(channel, *topics):
    call = channel.unary_stream(
        "/virtufin.Pubsub/Subscribe",
        request_serializer=pubsub_pb2.SubscribeRequest.SerializeToString,
        response_deserializer=pubsub_pb2.SubscribeResponse.FromString,
    )
    return call(pubsub_pb2.SubscribeRequest(topics=topics))
