"""The cost of publishing through a sidecar, in counts of functions for each event."""

import pytest

from tests.counting import counted_calls, counted_tasks

EVENT = {"symbol": "ABC", "price": 1.5, "size": 100}
EVENTS = 1000
OURS = ("/virtufin/api/client/", "/virtufin/api/dapr/")


@pytest.fixture
async def warm(publisher):
    """A publisher that has called its sidecar."""
    await publisher.publish_async("t", EVENT)
    return publisher


async def test_an_event_of_many_enters_few_functions(warm):
    with counted_calls(*OURS) as calls:
        await warm.publish_many_async("t", [EVENT] * EVENTS)
    assert calls.count <= EVENTS * 16, calls.count


async def test_an_event_of_a_batch_enters_few_functions(warm):
    with counted_calls(*OURS) as calls:
        async with warm.batching() as batch:
            for _ in range(EVENTS):
                await batch.publish_async("t", EVENT)
    assert calls.count <= EVENTS * 45, calls.count


async def test_a_single_event_enters_few_functions(warm):
    with counted_calls(*OURS) as calls:
        for _ in range(100):
            await warm.publish_async("t", EVENT)
    assert calls.count <= 100 * 46, calls.count


async def test_events_of_a_batch_have_no_tasks_of_their_own(warm):
    with counted_tasks() as tasks:
        async with warm.batching(linger=60, max_in_flight=1) as batch:
            for _ in range(EVENTS):
                await batch.publish_async("t", EVENT)
            before = tasks.count
            await batch.flush()
    # One for each call of a hundred events, beside those of grpc and of the server.
    assert before <= EVENTS / 20
    assert tasks.count <= EVENTS / 20
