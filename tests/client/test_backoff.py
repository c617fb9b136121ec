"""Waits between attempts of a subscription."""

import asyncio

import grpc
import pytest

from tests.client.conftest import UNIT, until
from virtufin.api.client import ReconnectSettings, SubscriptionState


class Reports:
    """A handler that keeps the waits that interruptions announce."""

    def __init__(self):
        self.waits = asyncio.Queue()

    def on_event(self, event):
        """Takes no event, because the gateway sends none."""

    def on_error(self, error):
        self.waits.put_nowait(error.retry_in)


@pytest.fixture
def announced(scripted, connect):
    """Breaks a stream again and again: `await announced(settings, count)` returns the waits."""

    async def collect(settings, count):
        async def broken(request, context):
            await context.send_initial_metadata(())
            # A stream that never was live would not be reported.
            await until(lambda: handles and handles[0].state is SubscriptionState.LIVE)
            await context.abort(grpc.StatusCode.UNAVAILABLE, "again")
            yield

        handles, reports = [], Reports()
        scripted.answer("Pubsub.Subscribe", broken)
        client = connect(scripted, reconnect=settings)
        handles.append(await client.subscribe_async_with_handler(reports, topics="t"))
        return [await asyncio.wait_for(reports.waits.get(), 20 * UNIT) for _ in range(count)]

    return collect


async def test_waits_grow_to_the_longest(announced):
    settings = ReconnectSettings(0.001, 0.005, multiplier=2, jitter=0, stable_after=3600)
    assert await announced(settings, 5) == [0.001, 0.002, 0.004, 0.005, 0.005]


async def test_the_random_part_of_a_wait_shortens_it_by_at_most_its_share(announced):
    settings = ReconnectSettings(0.001, 0.001, multiplier=1, jitter=0.3, stable_after=3600)
    waits = await announced(settings, 100)
    assert all(0.0007 <= wait <= 0.001 for wait in waits)
    assert len(set(waits)) > 80
