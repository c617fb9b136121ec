"""Deadlines: per call, per client, and shared by several calls."""

import asyncio
import time

import pytest

from tests.client.conftest import UNIT
from tests.client.scripted import WIRE
from tests.layouts import make_emulator
from virtufin.api.client import (
    DeadlineExceededError,
    InvalidInputError,
    SubscriptionSettings,
    deadline,
)


@pytest.fixture
def deadlines(scripted):
    """Seconds that the server was given for each GetState call; None where it got no deadline."""
    given = []

    async def answer(request, context):
        given.append(context.time_remaining())
        return WIRE["State.GetState"].response()

    scripted.answer("State.GetState", answer)
    return given


async def test_a_call_sends_the_clients_default_deadline(connect, scripted, deadlines):
    await connect(scripted).get_state_async("workmanager", "k")
    assert 25 < deadlines[0] <= 30


async def test_a_timeout_of_the_call_beats_the_clients(connect, scripted, deadlines):
    await connect(scripted, timeout=5).get_state_async("workmanager", "k", timeout=100)
    assert 90 < deadlines[0] <= 100


@pytest.mark.parametrize("forever", [None, float("inf"), 1e300, 10**400])
async def test_none_and_infinity_mean_no_deadline(connect, scripted, deadlines, forever):
    await connect(scripted).get_state_async("workmanager", "k", timeout=forever)
    assert deadlines[0] is None or deadlines[0] > 1e6


async def test_calls_inside_deadline_share_one_budget(connect, scripted, deadlines):
    client = connect(scripted)
    with deadline(4 * UNIT) as budget:
        await client.get_state_async("workmanager", "k")
        await asyncio.sleep(0.3 * UNIT)
        await client.get_state_async("workmanager", "k")
        assert budget.remaining() < 4 * UNIT
    assert deadlines[1] < deadlines[0] <= 4 * UNIT


async def test_the_shorter_of_timeout_and_deadline_counts(connect, scripted, deadlines):
    client = connect(scripted)
    with deadline(10):
        await client.get_state_async("workmanager", "k", timeout=5)
        await client.get_state_async("workmanager", "k", timeout=15)
    assert deadlines[0] <= 5
    assert 5 < deadlines[1] <= 10.2


async def test_the_earlier_end_of_nested_deadlines_counts(connect, scripted, deadlines):
    client = connect(scripted)
    with deadline(10), deadline(20):
        await client.get_state_async("workmanager", "k")
    with deadline(20), deadline(10):
        await client.get_state_async("workmanager", "k")
    # gRPC rounds what it sends up, to a tenth of a second at this size.
    assert all(seconds <= 10.2 for seconds in deadlines)


async def test_a_call_that_begins_too_late_is_not_sent(connect, scripted, deadlines):
    client = connect(scripted)
    with deadline(0) as budget:
        assert budget.expired
        with pytest.raises(DeadlineExceededError, match="nothing was left"):
            await client.get_state_async("workmanager", "k")
    assert deadlines == []


async def test_deadline_ends_with_its_block(connect, scripted, deadlines):
    with deadline(5):
        pass
    await connect(scripted).get_state_async("workmanager", "k")
    assert deadlines[0] > 20


@pytest.mark.parametrize("seconds", [None, "5", -1, float("inf"), float("nan")])
def test_a_budget_that_is_no_time_is_refused(seconds):
    with pytest.raises(InvalidInputError), deadline(seconds):
        pass


async def test_a_subscription_started_inside_deadline_outlives_it(gateway, client):
    with deadline(0.2 * UNIT):
        subscription = await client.pubsub.subscribe_async("t")
        await asyncio.sleep(0.25 * UNIT)
    await client.pubsub.publish_async("t", "later")
    assert (await anext(subscription)).data_as_text() == "later"
    await subscription.aclose()


async def test_deadline_bounds_the_wait_for_a_subscription_to_be_live(connect):
    async with make_emulator(hold_headers=True) as gateway:
        client = connect(gateway, subscription=SubscriptionSettings(ready_wait=60 * UNIT))
        with deadline(0.1 * UNIT):
            subscription = await client.pubsub.subscribe_async("t")
        assert not subscription.confirmed
        await subscription.aclose()


async def test_a_handler_does_not_inherit_the_deadline_of_the_subscribing_call(gateway, client):
    handled = asyncio.Event()

    async def handler(event):
        await asyncio.sleep(0)
        await client.save_state_async("workmanager", "seen", event.data_as_text())
        handled.set()

    with deadline(0.2 * UNIT):
        await client.subscribe_async_with_handler(handler, topics="t")
        await asyncio.sleep(0.25 * UNIT)
    await client.pubsub.publish_async("t", "x")
    await asyncio.wait_for(handled.wait(), 5 * UNIT)
    assert (await client.get_state_async("workmanager", "seen"))["value"] == "x"


async def test_a_surrounding_timeout_cancels_the_call_on_the_wire(connect, scripted, hanging):
    client = connect(scripted)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(client.get_state_async("workmanager", "k"), 0.2 * UNIT)
    assert hanging.began.is_set()
    await asyncio.wait_for(hanging.ended.wait(), 5 * UNIT)


async def test_cancelling_the_task_raises_its_cancellation(connect, scripted, hanging):
    task = asyncio.create_task(connect(scripted).get_state_async("workmanager", "k"))
    await hanging.began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(hanging.ended.wait(), 5 * UNIT)


async def test_waiting_for_a_rotated_key_counts_against_the_deadline(connect, scripted, deadlines):
    async def never():
        await asyncio.sleep(60)

    start = time.monotonic()
    with pytest.raises(DeadlineExceededError):
        await connect(scripted, api_key=never).state.get("workmanager", "k", timeout=0.1 * UNIT)
    assert time.monotonic() - start < 30 * UNIT
    assert deadlines == []
