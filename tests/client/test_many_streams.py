"""Hundreds of subscriptions."""

import asyncio

from tests.client.conftest import UNIT, until
from tests.layouts import make_emulator
from virtufin.api.client import SubscriptionSettings, SubscriptionState


async def test_three_hundred_subscriptions_are_live_at_once(swift, connect):
    async with make_emulator(max_concurrent_streams=100) as gateway:
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
