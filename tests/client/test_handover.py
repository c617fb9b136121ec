"""An idle stream is replaced by a new one, without loss, doubles, or a reported gap."""

import asyncio
import random

import grpc
import pytest

from tests.client.conftest import UNIT, until
from tests.client.scripted import WIRE
from virtufin.api.client import SubscriptionSettings, SubscriptionState, UnauthenticatedError
from virtufin.api.protos.cloudevents_pb2 import CloudEvent

pytestmark = pytest.mark.slow

QUICK = SubscriptionSettings(ready_wait=0.2 * UNIT, idle_limit=0.1 * UNIT)
# For streams that a busy server must not be too slow to confirm.
PATIENT = SubscriptionSettings(ready_wait=5 * UNIT, idle_limit=0.1 * UNIT)


def item(identifier):
    response = WIRE["Pubsub.Subscribe"].response(topic="t")
    response.cloudevent.id = identifier
    response.cloudevent.source = "urn:test"
    return response


class Streams:
    """A Subscribe method whose streams send what the test hands to them."""

    def __init__(self):
        self.opened = []
        self.refused = 0
        self.refuse_from = None
        self.hold_headers_from = None
        self.confirm = None
        self.code = grpc.StatusCode.UNAVAILABLE

    async def serve(self, request, context):
        number = len(self.opened) + self.refused
        if self.refuse_from is not None and number >= self.refuse_from:
            self.refused += 1
            await context.abort(self.code, "no second stream")
        queue = asyncio.Queue()
        self.opened.append(queue)
        if self.confirm is not None:
            await self.confirm.wait()
        if self.hold_headers_from is None or number < self.hold_headers_from:
            await context.send_initial_metadata(())
        while (identifier := await queue.get()) is not None:
            yield item(identifier)


@pytest.fixture
def streams(scripted):
    streams = Streams()
    scripted.answer("Pubsub.Subscribe", streams.serve)
    return streams


async def ids(subscription, count):
    return [(await anext(subscription)).message_id for _ in range(count)]


async def test_a_stream_dropped_without_notice_is_replaced_and_no_gap_reported(
    scripted, connect, streams, caplog
):
    subscription = await connect(scripted, subscription=PATIENT).pubsub.subscribe_async("t")
    await until(lambda: subscription.stats.handovers == 1)
    streams.opened[1].put_nowait("after")
    assert await ids(subscription, 1) == ["after"]
    assert subscription.stats.interruptions == 0
    assert subscription.state is SubscriptionState.LIVE
    assert "interrupted" not in caplog.text
    await subscription.aclose()


async def test_a_stream_that_delivers_an_event_during_the_handover_is_kept_and_nothing_doubled(
    scripted, connect, streams
):
    settings = SubscriptionSettings(ready_wait=2 * UNIT, idle_limit=0.3 * UNIT)
    subscription = await connect(scripted, subscription=settings).pubsub.subscribe_async("t")
    await until(lambda: len(streams.opened) == 2)
    streams.opened[0].put_nowait("on its way before the second was there")
    for stream in streams.opened:
        stream.put_nowait("both")
    assert await ids(subscription, 2) == ["on its way before the second was there", "both"]
    await until(lambda: len(streams.opened) == 3, "another try")
    streams.opened[0].put_nowait("still here")
    assert await ids(subscription, 1) == ["still here"]
    assert subscription.stats.handovers == 0
    assert subscription.stats.received == 3
    await subscription.aclose()


async def test_the_same_event_on_another_topic_is_no_double(gateway, connect):
    subscription = await connect(gateway, subscription=PATIENT).pubsub.subscribe_async()
    await until(lambda: gateway.faults.open_streams == 2)
    event = CloudEvent(id="1", source="urn:test", type="a.b", spec_version="1.0")
    publisher = connect(gateway)
    for topic in ("prices", "prices-dead"):
        await publisher.pubsub.publish_async(topic, event)
    topics = [(await anext(subscription)).topic for _ in range(2)]
    assert topics == ["prices", "prices-dead"]
    await subscription.aclose()


async def test_a_stream_that_is_not_answered_is_not_moved_to(scripted, connect, streams, caplog):
    subscription = await connect(scripted, subscription=QUICK).pubsub.subscribe_async("t")
    streams.confirm = asyncio.Event()
    await until(lambda: "did not answer a second stream" in caplog.text, "the end of the wait")
    streams.opened[0].put_nowait("only here")
    assert await ids(subscription, 1) == ["only here"]
    assert subscription.stats.handovers == 0
    assert subscription.confirmed
    await subscription.aclose()


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNAVAILABLE])
async def test_an_idle_stream_without_successor_counts_as_broken_in_the_end(
    scripted, connect, streams, code
):
    subscription = await connect(scripted, subscription=QUICK).pubsub.subscribe_async("t")
    streams.refuse_from, streams.code = 1, code
    if code is grpc.StatusCode.UNAUTHENTICATED:
        with pytest.raises(UnauthenticatedError):
            await anext(subscription)
    else:
        await until(lambda: subscription.stats.interruptions == 1, "the report of a gap")
    assert streams.refused >= 3
    await subscription.aclose()


async def test_without_a_second_stream_the_first_goes_on(scripted, connect, streams):
    subscription = await connect(scripted, subscription=QUICK).pubsub.subscribe_async("t")
    streams.refuse_from = 1
    await until(lambda: streams.refused == 2)
    streams.opened[0].put_nowait("still here")
    assert await ids(subscription, 1) == ["still here"]
    assert subscription.stats.interruptions == 0
    await subscription.aclose()


async def test_the_second_stream_takes_over_unconfirmed_if_headers_wait_for_events(
    scripted, connect, streams
):
    streams.hold_headers_from = 0
    subscription = await connect(scripted, subscription=QUICK).pubsub.subscribe_async("t")
    await until(lambda: subscription.stats.handovers == 1)
    assert not subscription.confirmed
    streams.opened[1].put_nowait("first")
    assert await ids(subscription, 1) == ["first"]
    assert subscription.confirmed
    await subscription.aclose()


async def test_a_stream_that_breaks_before_the_second_is_confirmed_is_a_gap(
    scripted, connect, streams
):
    subscription = await connect(scripted, subscription=PATIENT).pubsub.subscribe_async("t")
    streams.confirm = asyncio.Event()
    await until(lambda: len(streams.opened) == 2)
    streams.opened[0].put_nowait(None)
    await asyncio.sleep(0.1 * UNIT)
    streams.confirm.set()
    await until(lambda: subscription.stats.interruptions == 1)
    assert subscription.stats.handovers == 0
    await subscription.aclose()


async def test_a_stream_that_breaks_after_the_second_was_confirmed_is_no_gap(
    scripted, connect, streams
):
    subscription = await connect(scripted, subscription=PATIENT).pubsub.subscribe_async("t")
    await until(lambda: len(streams.opened) == 2)
    await asyncio.sleep(0.2 * UNIT)
    streams.opened[0].put_nowait(None)
    streams.opened[1].put_nowait("new")
    assert await ids(subscription, 1) == ["new"]
    assert subscription.stats.interruptions == 0
    await subscription.aclose()


async def test_a_slow_consumer_is_not_taken_for_an_idle_stream(scripted, connect, streams):
    settings = SubscriptionSettings(
        ready_wait=0.2 * UNIT, idle_limit=0.1 * UNIT, max_buffered_events=2
    )
    subscription = await connect(scripted, subscription=settings).pubsub.subscribe_async("t")
    for number in range(10):
        streams.opened[0].put_nowait(str(number))
    await until(lambda: subscription.stats.buffered == 2)
    await asyncio.sleep(0.4 * UNIT)
    assert len(streams.opened) == 1
    assert await ids(subscription, 10) == [str(number) for number in range(10)]
    await subscription.aclose()


async def test_the_idle_limit_can_be_switched_off(scripted, connect, streams):
    settings = SubscriptionSettings(ready_wait=0.1 * UNIT, idle_limit=None)
    subscription = await connect(scripted, subscription=settings).pubsub.subscribe_async("t")
    await asyncio.sleep(0.3 * UNIT)
    assert len(streams.opened) == 1
    await subscription.aclose()


async def test_closing_during_a_handover_leaves_nothing(gateway, connect):
    settings = SubscriptionSettings(ready_wait=0.2 * UNIT, idle_limit=0.02 * UNIT)
    client = connect(gateway, subscription=settings)
    for turns in range(40):
        subscription = await client.pubsub.subscribe_async("t")
        await asyncio.sleep(0.003 * turns * UNIT)
        await subscription.aclose()
    await until(lambda: gateway.faults.open_streams == 0, "the end of all streams")


class SlowEnd(grpc.aio.UnaryStreamClientInterceptor):
    """Lets the first subscription end only when the test says so."""

    def __init__(self):
        self.opened = 0
        self.ending = asyncio.Event()
        self.may_end = asyncio.Event()

    async def intercept_unary_stream(self, continuation, details, request):
        call = await continuation(details, request)
        # Text or bytes, by the version of grpcio.
        if "Subscribe" not in str(details.method):
            return call
        self.opened += 1
        return self.items(call) if self.opened == 1 else call

    async def items(self, call):
        try:
            async for item in call:
                yield item
        except asyncio.CancelledError:
            self.ending.set()
            await self.may_end.wait()
            raise


async def test_closing_while_the_old_stream_ends_releases_the_new_one(gateway, connect):
    slow = SlowEnd()
    settings = SubscriptionSettings(ready_wait=0.2 * UNIT, idle_limit=0.02 * UNIT)
    client = connect(gateway, subscription=settings, interceptors=[slow])
    subscription = await client.pubsub.subscribe_async("t")
    await asyncio.wait_for(slow.ending.wait(), 10 * UNIT)
    closing = asyncio.create_task(subscription.aclose())
    await asyncio.sleep(0)
    slow.may_end.set()
    await closing
    await until(lambda: gateway.faults.open_streams == 0, "the end of all streams")
    assert slow.opened == 2


async def test_through_many_handovers_every_event_comes_once_and_in_order(gateway, connect, seed):
    chance = random.Random(seed)
    settings = SubscriptionSettings(ready_wait=0.5 * UNIT, idle_limit=0.05 * UNIT)
    client = connect(gateway, subscription=settings)
    publisher = connect(gateway)
    subscription = await client.pubsub.subscribe_async("t")
    # The longest is enough for a handover: the limit, a second stream, half of the wait.
    pauses = (0, 0, 0, 0.06, 0.3, 0.6)
    for number in range(60):
        await publisher.pubsub.publish_async("t", str(number))
        await asyncio.sleep(chance.choice(pauses) * UNIT)
    received = [int((await anext(subscription)).data_as_text()) for _ in range(60)]
    assert received == list(range(60))
    assert subscription.stats.handovers > 3
    assert subscription.stats.interruptions == 0
    await subscription.aclose()
