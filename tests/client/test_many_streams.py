"""Hundreds of subscriptions, and streams under load."""

import asyncio

import pytest

from tests.client.conftest import UNIT, until
from virtufin.api.client import SubscriptionSettings, SubscriptionState
from virtufin.api.emulator import Emulator


async def test_three_hundred_subscriptions_are_live_at_once(swift, connect):
    async with Emulator(max_concurrent_streams=100) as gateway:
        client = connect(gateway, subscription=SubscriptionSettings(ready_wait=20 * UNIT))
        subscriptions = await asyncio.gather(
            *(client.pubsub.subscribe_async("t") for _ in range(300))
        )
        assert all(subscription.confirmed for subscription in subscriptions)
        assert gateway.faults.open_streams == 300
        await client.pubsub.publish_async("t", "x")
        events = await asyncio.gather(
            *(asyncio.wait_for(anext(one), 10 * UNIT) for one in subscriptions)
        )
        assert {event.data_as_text() for event in events} == {"x"}
        await asyncio.gather(*(subscription.aclose() for subscription in subscriptions))
        assert {one.state for one in subscriptions} == {SubscriptionState.CLOSED}
        await until(lambda: gateway.faults.open_streams == 0, "the end of all streams")


@pytest.mark.parametrize("concurrency", [1, 10])
async def test_a_handler_that_raises_is_given_the_next_thousand_events(swift, client, concurrency):
    given, told = [], []

    class Handler:
        def on_event(self, event):
            given.append(event.data_as_json())
            raise LookupError(event.data_as_json())

        def on_error(self, error):
            told.append(error.args[0])

    handle = await client.subscribe_async_with_handler(
        Handler(), topics="t", max_concurrency=concurrency
    )
    for number in range(1001):
        await client.pubsub.publish_async("t", number)
    await until(lambda: len(told) == 1001, "the report of each error")
    assert given == list(range(1001))
    assert sorted(told) == given
    assert handle.handler_errors == 1001
    assert handle.stats.interruptions == 0
    assert handle.state is SubscriptionState.LIVE
