"""Subscriptions people iterate."""

import asyncio
import gc
import sys

import grpc
import pytest
from grpc import aio

from tests.client.conftest import QUICK, UNIT, until
from tests.client.scripted import WIRE
from tests.layouts import make_emulator
from virtufin.api.client import (
    ApiClient,
    ClientClosedError,
    DeadlineExceededError,
    InvalidInputError,
    ReconnectSettings,
    StreamFailedError,
    SubscriptionSettings,
    SubscriptionState,
    UnauthenticatedError,
)

Event = WIRE["Pubsub.Subscribe"].response


# A14
async def test_publish_event(client):
    async with client.pubsub.subscribe_async_iter("t") as subscription:
        result = await client.pubsub.publish_async("t", "hello", {"runid": "1"})
        event = await anext(subscription)
    assert result == {"success": True, "status": "OK", "message": ""}
    assert (event.topic, event.data_as_text()) == ("t", "hello")
    assert event.extensions == {"runid": "1"}


@pytest.mark.slow
async def test_publishing_right_after_starting_a_subscriber_task_loses_nothing(
    swift, gateway, connect
):
    for _ in range(200):
        client = connect(gateway)
        received = []

        async def collect(client=client, received=received):
            async for event in client.pubsub.subscribe_async_iter("my-topic"):
                received.append(event.data_as_text())

        task = asyncio.create_task(collect())
        for number in range(5):
            await client.pubsub.publish_async("my-topic", f"Message {number}")
        await until(lambda received=received: len(received) == 5)
        assert received == [f"Message {number}" for number in range(5)]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await client.close()


async def test_a_confirmed_subscription_says_so(client):
    subscription = await client.pubsub.subscribe_async("t")
    assert subscription.confirmed
    assert subscription.state is SubscriptionState.LIVE
    assert repr(subscription) == "<Subscription t: live>"
    await subscription.aclose()
    assert subscription.state is SubscriptionState.CLOSED


async def test_a_server_that_holds_its_headers_back_is_presumed_live(connect):
    async with make_emulator(hold_headers=True) as gateway:
        client = connect(gateway, subscription=SubscriptionSettings(ready_wait=0.1 * UNIT))
        subscription = client.pubsub.subscribe_async_iter("t")
        assert await subscription.ready(5 * UNIT) is False
        assert subscription.state is SubscriptionState.LIVE
        await client.pubsub.publish_async("t", "x")
        assert (await anext(subscription)).data_as_text() == "x"
        assert subscription.confirmed
        await subscription.aclose()


async def test_ready_is_bounded_if_no_gateway_answers(connect):
    gateway = make_emulator()
    async with gateway:
        pass
    client = connect(gateway)
    subscription = client.pubsub.subscribe_async_iter("t")
    assert await subscription.ready(0.2 * UNIT) is False
    assert subscription.state is SubscriptionState.CONNECTING
    await subscription.aclose()


async def test_a_subscription_made_before_the_gateway_starts_becomes_live(connect):
    gateway = make_emulator()
    async with gateway:
        pass
    client = connect(gateway)
    subscription = await client.pubsub.subscribe_async("t", timeout=0.1 * UNIT)
    assert not subscription.confirmed
    async with gateway:
        assert await subscription.ready(10 * UNIT)
        await subscription.aclose()


async def test_a_subscription_carries_several_topics(client):
    async with client.pubsub.subscribe_async_iter(["a", "b", "a"]) as subscription:
        await client.pubsub.publish_async("a", "1")
        await client.pubsub.publish_async("b", "2")
        events = [await anext(subscription) for _ in range(2)]
    assert [event.topic for event in events] == ["a", "b"]
    assert subscription.topics == ("a", "b")


async def test_a_single_text_is_one_topic_and_never_its_letters(client):
    assert client.pubsub.subscribe_async_iter("abc").topics == ("abc",)
    assert client.pubsub.subscribe_async_iter(topic="abc").topics == ("abc",)


async def test_no_topics_leave_the_choice_to_the_gateway(client):
    async with client.pubsub.subscribe_async_iter() as subscription:
        await client.pubsub.publish_async("anything", "x")
        assert (await anext(subscription)).topic == "anything"
    assert "all topics" in repr(subscription)


async def test_empty_text_is_an_event_and_no_heartbeat(client):
    async with client.pubsub.subscribe_async_iter("t") as subscription:
        await client.pubsub.publish_async("t", "")
        assert (await anext(subscription)).data == b""


async def test_a_wait_that_times_out_loses_no_event(client):
    async with client.pubsub.subscribe_async_iter("t") as subscription:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(anext(subscription), 0.05 * UNIT)
        await client.pubsub.publish_async("t", "x")
        event = await asyncio.wait_for(anext(subscription), 5 * UNIT)
    assert event.data_as_text() == "x"


async def test_cancelling_the_iterating_task_ends_the_stream_at_the_gateway(gateway, client):
    async def collect():
        async for _ in client.pubsub.subscribe_async_iter("t"):
            pass

    task = asyncio.create_task(collect())
    await until(lambda: gateway.faults.open_streams == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: gateway.faults.open_streams == 0, "the end of the stream")


async def test_breaking_out_of_the_loop_ends_the_stream_at_the_gateway(gateway, client):
    async def first():
        events = []
        async for event in client.pubsub.subscribe_async_iter("t"):
            events.append(event)
            break
        return events[0]

    task = asyncio.create_task(first())
    await client.pubsub.publish_async("t", "x")
    assert (await task).data_as_text() == "x"
    del task
    gc.collect()
    await until(lambda: gateway.faults.open_streams == 0, "the end of the stream")


async def test_a_subscription_without_references_ends(gateway, client):
    subscription = await client.pubsub.subscribe_async("t")
    await until(lambda: gateway.faults.open_streams == 1)
    del subscription
    gc.collect()
    await until(lambda: gateway.faults.open_streams == 0, "the end of the stream")


async def test_a_subscription_that_was_never_used_costs_nothing(gateway, client):
    subscription = client.pubsub.subscribe_async_iter("t")
    assert subscription.state is SubscriptionState.NEW
    await subscription.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(subscription)


async def test_a_subscription_closed_before_its_first_use_stays_closed(gateway, client):
    subscription = client.pubsub.subscribe_async_iter("t")
    await subscription.aclose()
    assert [event async for event in subscription] == []
    assert not await subscription.ready()
    assert subscription.state is SubscriptionState.CLOSED
    assert gateway.faults.open_streams == 0


async def test_every_waiter_gets_an_error_object_of_its_own(connect):
    async with make_emulator(api_keys=["k"]) as gateway:
        subscription = connect(gateway).pubsub.subscribe_async_iter("t")
        errors = []
        for look in (subscription.__anext__, subscription.ready, subscription.wait_closed) * 2:
            with pytest.raises(UnauthenticatedError) as caught:
                await look()
            errors.append(caught.value)
    assert len({id(error) for error in errors}) == len(errors)
    assert all(isinstance(error.__cause__, UnauthenticatedError) for error in errors)


async def test_a_channel_closed_before_subscribing_fails_the_subscription(gateway):
    channel = aio.insecure_channel(gateway.target)
    await channel.close()
    async with ApiClient(channel=channel) as client:
        with pytest.raises(ClientClosedError, match="channel is closed"):
            await client.pubsub.subscribe_async("t")


async def test_received_events_are_returned_after_closing(client):
    subscription = await client.pubsub.subscribe_async("t")
    for number in range(3):
        await client.pubsub.publish_async("t", str(number))
    await until(lambda: subscription.stats.received == 3)
    await subscription.aclose()
    assert [event.data_as_text() async for event in subscription] == ["0", "1", "2"]


async def test_closing_ends_a_waiting_consumer_normally(client):
    subscription = await client.pubsub.subscribe_async("t")
    waiting = asyncio.create_task(anext(subscription, "ended"))
    await asyncio.sleep(0)
    await subscription.aclose()
    assert await waiting == "ended"
    await subscription.wait_closed()


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.OK])
async def test_a_cut_stream_comes_back_and_is_reported_once(gateway, client, code, caplog):
    subscription = await client.pubsub.subscribe_async("t")
    await client.pubsub.publish_async("t", "before")
    assert (await anext(subscription)).data_as_text() == "before"
    gateway.faults.cut_streams(code)
    await until(lambda: subscription.state is SubscriptionState.RECONNECTING)
    await until(lambda: subscription.state is SubscriptionState.LIVE)
    await client.pubsub.publish_async("t", "after")
    assert (await anext(subscription)).data_as_text() == "after"
    assert subscription.stats.interruptions == 1
    assert caplog.text.count("subscription interrupted") == 1
    await subscription.aclose()


async def test_a_gap_of_several_attempts_is_reported_once(connect, caplog):
    gateway = make_emulator()
    async with gateway:
        client = connect(gateway)
        subscription = await client.pubsub.subscribe_async("t")
    await until(lambda: subscription.stats.attempts >= 4)
    async with gateway:
        await until(lambda: subscription.state is SubscriptionState.LIVE)
        await client.pubsub.publish_async("t", "after")
        assert (await anext(subscription)).data_as_text() == "after"
        assert subscription.stats.interruptions == 1
        await subscription.aclose()


async def test_the_decision_to_reconnect_can_be_replaced(scripted, connect):
    seen = []
    scripted.fail("Pubsub.Subscribe", grpc.StatusCode.NOT_FOUND)

    def twice(error):
        seen.append(error.code())
        return len(seen) < 2

    settings = ReconnectSettings(initial_backoff=0.01 * UNIT, should_reconnect=twice)
    subscription = connect(scripted, reconnect=settings).pubsub.subscribe_async_iter("t")
    with pytest.raises(StreamFailedError):
        await anext(subscription)
    assert seen == [grpc.StatusCode.NOT_FOUND] * 2


async def test_a_decision_that_raises_ends_the_subscription_visibly(scripted, connect):
    scripted.fail("Pubsub.Subscribe", grpc.StatusCode.UNAVAILABLE)

    def broken(error):
        raise LookupError("my decision")

    settings = ReconnectSettings(should_reconnect=broken)
    subscription = connect(scripted, reconnect=settings).pubsub.subscribe_async_iter("t")
    with pytest.raises(StreamFailedError, match="my decision"):
        await anext(subscription)
    with pytest.raises(StreamFailedError):
        await subscription.wait_closed()


async def test_a_failure_is_raised_at_every_look_and_logged(connect, caplog):
    async with make_emulator(api_keys=["k"]) as gateway:
        subscription = connect(gateway).pubsub.subscribe_async_iter("t")
        for _ in range(2):
            with pytest.raises(UnauthenticatedError):
                await anext(subscription)
        with pytest.raises(UnauthenticatedError):
            await subscription.ready()
    assert subscription.state is SubscriptionState.FAILED
    assert caplog.text.count("subscription failed") == 1


async def test_backoff_starts_over_after_an_event(scripted, connect):
    waits = []
    opened = 0

    async def one_event_each(request, context):
        nonlocal opened
        opened += 1
        yield Event(topic="t")
        await context.abort(grpc.StatusCode.UNAVAILABLE, "again")

    scripted.answer("Pubsub.Subscribe", one_event_each)
    settings = ReconnectSettings(initial_backoff=0.01 * UNIT, multiplier=100, jitter=0)
    client = connect(scripted, reconnect=settings)
    errors = []

    class Handler:
        def on_event(self, event):
            waits.append(event)

        def on_error(self, error):
            errors.append(error.retry_in)

    await client.subscribe_async_with_handler(Handler(), topics="t")
    await until(lambda: len(errors) >= 3)
    assert set(errors) == {0.01 * UNIT}


async def test_each_gap_of_a_gateway_that_ends_after_every_event_is_reported(scripted, connect):
    async def one_event_each(request, context):
        yield Event(topic="t")

    scripted.answer("Pubsub.Subscribe", one_event_each)
    subscription = connect(scripted).pubsub.subscribe_async_iter("t")
    for _ in range(5):
        await anext(subscription)
    stats = subscription.stats
    assert stats.interruptions >= 4
    assert stats.attempts - stats.interruptions <= 1
    await subscription.aclose()


async def test_a_slow_consumer_pauses_the_stream_and_loses_nothing(gateway, connect):
    bound = SubscriptionSettings(max_buffered_events=10)
    client = connect(gateway, subscription=bound)
    subscription = await client.pubsub.subscribe_async("t")
    for number in range(200):
        await client.pubsub.publish_async("t", str(number))
    await until(lambda: subscription.stats.buffered == 10)
    received = [int((await anext(subscription)).data_as_text()) for _ in range(200)]
    assert received == list(range(200))
    assert subscription.stats.delivered == 200
    await subscription.aclose()


async def test_stats_count_what_happened(client):
    subscription = await client.pubsub.subscribe_async("t")
    await client.pubsub.publish_async("t", "1")
    await client.pubsub.publish_async("t", "2")
    await anext(subscription)
    await until(lambda: subscription.stats.received == 2)
    stats = subscription.stats
    assert (stats.delivered, stats.buffered, stats.interruptions, stats.attempts) == (1, 1, 0, 1)
    await subscription.aclose()


async def test_two_subscriptions_to_one_topic_both_get_every_event(client):
    one = await client.pubsub.subscribe_async("t")
    two = await client.pubsub.subscribe_async("t")
    await client.pubsub.publish_async("t", "x")
    assert (await anext(one)).data == (await anext(two)).data == b"x"
    await one.aclose()
    await two.aclose()


async def test_unsubscribing_by_id_is_answered_by_the_gateway(client):
    from virtufin.api.client import NotFoundError

    with pytest.raises(NotFoundError):
        await client.pubsub.unsubscribe_async("no-such-id")


async def test_closing_a_client_ends_subscriptions_that_wait_to_reconnect(connect):
    gateway = make_emulator()
    async with gateway:
        client = connect(gateway, reconnect=ReconnectSettings(initial_backoff=1000))
        subscription = await client.pubsub.subscribe_async("t")
    await until(lambda: subscription.state is SubscriptionState.RECONNECTING)
    await client.close()
    assert subscription.state is SubscriptionState.CLOSED


async def test_a_subscription_dropped_after_its_loop_has_ended_is_quiet():
    program = """
import asyncio, gc
from virtufin.api.client import ApiClient
async def main():
    client = ApiClient("127.0.0.1", 1)
    subscription = client.pubsub.subscribe_async_iter("t")
    await subscription.ready(0.05)
    return client, subscription
kept = asyncio.run(main())
del kept
gc.collect()
print("quiet")
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-X", "dev", "-W", "error", "-c", program,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert out.strip() == b"quiet"
    assert b"Traceback" not in err


def test_reconnect_settings_of_these_tests_are_quick():
    assert QUICK.initial_backoff < 0.1 * UNIT


async def test_states_can_be_iterated_to_the_end(gateway, client):
    subscription = client.pubsub.subscribe_async_iter("t")

    async def watch():
        return [state.value async for state in subscription.states()]

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    await subscription.ready()
    gateway.faults.cut_streams()
    await subscription.wait_for(SubscriptionState.RECONNECTING, timeout=10 * UNIT)
    await subscription.wait_for(SubscriptionState.LIVE, timeout=10 * UNIT)
    await subscription.aclose()
    assert await watching == ["new", "connecting", "live", "reconnecting", "live", "closed"]


async def test_waiting_for_a_state_ends_with_the_subscription(client):
    subscription = await client.pubsub.subscribe_async("t")
    waiting = asyncio.create_task(subscription.wait_for(SubscriptionState.RECONNECTING))
    await asyncio.sleep(0)
    await subscription.aclose()
    assert await waiting is SubscriptionState.CLOSED


async def test_waiting_for_a_state_is_bounded(client):
    async with client.pubsub.subscribe_async_iter("t") as subscription:
        with pytest.raises(DeadlineExceededError, match="still live"):
            await subscription.wait_for(SubscriptionState.RECONNECTING, timeout=0.05 * UNIT)


async def test_closing_a_client_ends_subscriptions_that_were_never_used(client):
    subscription = client.pubsub.subscribe_async_iter("t")
    ended = asyncio.create_task(subscription.wait_closed())
    await asyncio.sleep(0)
    await client.close()
    await asyncio.wait_for(ended, 5 * UNIT)
    assert subscription.state is SubscriptionState.CLOSED


async def test_an_ended_subscription_is_not_confirmed(client):
    subscription = await client.pubsub.subscribe_async("t")
    assert subscription.confirmed
    await subscription.aclose()
    assert not subscription.confirmed
    assert not await subscription.ready()


@pytest.mark.parametrize("state", ["live", 5, None, [SubscriptionState.LIVE]])
async def test_only_states_can_be_waited_for(client, state):
    with pytest.raises(InvalidInputError, match="SubscriptionState"):
        await client.pubsub.subscribe_async_iter("t").wait_for(state)
