"""The cost of calls and subscriptions, in counts of tasks and functions."""

import asyncio
import sys

import pytest

from tests.client.conftest import until
from tests.counting import counted_calls, counted_tasks
from virtufin.api.client import ApiClient

pytestmark = pytest.mark.slow

TASKS = 1 if sys.version_info >= (3, 11) else 2
"""The task that grpc.aio makes for each call; on 3.10 the client waits for it in another one."""
CALLS = 20


@pytest.fixture
async def client(virtufin_emulator):
    """A client of a gateway in another process, whose work is not counted."""
    async with ApiClient(virtufin_emulator.host, virtufin_emulator.port) as client:
        await client.get_state_async("workmanager", "k")
        yield client


async def test_a_call_makes_no_task_beside_the_one_of_grpc(client):
    with counted_tasks() as tasks:
        for _ in range(CALLS):
            await client.get_state_async("workmanager", "k")
    assert tasks.count == CALLS * TASKS


async def test_a_call_enters_few_functions(client):
    with counted_calls("/virtufin/api/client/") as calls:
        for _ in range(CALLS):
            await client.get_state_async("workmanager", "k")
    assert calls.count <= CALLS * 30, calls.count


def own_tasks():
    names = (task.get_name() for task in asyncio.all_tasks())
    return sorted(name for name in names if name.startswith("virtufin-"))


async def test_a_subscription_has_a_task_that_keeps_it_and_a_task_that_reads(client):
    subscription = await client.pubsub.subscribe_async("t")
    assert own_tasks() == ["virtufin-reader", "virtufin-subscription t"]
    with counted_tasks() as tasks:
        for number in range(CALLS):
            await client.pubsub.publish_async("t", number)
            assert (await anext(subscription)).data_as_json() == number
    assert tasks.count == CALLS * TASKS
    await subscription.aclose()


async def test_an_event_of_a_handler_in_order_makes_no_task(client):
    seen = []
    handler = await client.pubsub.subscribe_async_with_handler(seen.append, topics="t")
    with counted_tasks() as tasks:
        for number in range(CALLS):
            await client.pubsub.publish_async("t", number)
        await until(lambda: len(seen) == CALLS)
    assert tasks.count == CALLS * TASKS
    await handler.cancel()


async def test_an_event_enters_few_functions_from_publish_to_iteration(client):
    subscription = await client.pubsub.subscribe_async("t")
    await client.pubsub.publish_async("t", "warm")
    await anext(subscription)
    with counted_calls("/virtufin/api/client/") as calls:
        for _ in range(CALLS):
            await client.pubsub.publish_async("t", {"price": 1.5})
            await anext(subscription)
    assert calls.count <= CALLS * 60, calls.count
    await subscription.aclose()
