"""Thousands of calls in flight."""

import asyncio
import subprocess
import sys

import grpc
import pytest
from grpc import aio

from tests.client.conftest import UNIT, until
from tests.client.scripted import WIRE
from tests.layouts import make_emulator
from virtufin.api.client import (
    ApiClient,
    ClientClosedError,
    DeadlineExceededError,
    SubscriptionState,
    UnavailableError,
    VirtufinError,
)

pytestmark = pytest.mark.slow

# grpcio 1.78 mended a burst that hangs its event loop.
MAY_HANG = tuple(map(int, grpc.__version__.split(".")[:2])) < (1, 78)

AMOUNTS = pytest.mark.parametrize(
    "amount", [500, pytest.param(2000, marks=[pytest.mark.heavy, pytest.mark.alone])]
)
PATIENCE = 60 * UNIT
"""These tests are about how many calls there are, not about how fast a loaded machine is."""


@pytest.fixture
def held(scripted):
    """GetState of the scripted gateway waits for `may_end`, and notes over which connections."""
    held = Held()
    scripted.answer("State.GetState", held.answer)
    scripted.answer("Pubsub.Subscribe", held.subscribe)
    return held


class Held:
    def __init__(self):
        self.calls = []
        self.streams = []
        self.may_end = asyncio.Event()

    async def answer(self, request, context):
        self.calls.append(context.peer())
        await self.may_end.wait()
        return WIRE["State.GetState"].response()

    async def subscribe(self, request, context):
        self.streams.append(context.peer())
        await context.send_initial_metadata(())
        await self.may_end.wait()
        yield WIRE["Pubsub.Subscribe"].response()


def get(client, **options):
    return asyncio.create_task(client.get_state_async("workmanager", "k", **options))


async def many(client, held, count):
    """Makes `count` calls at once; returns their tasks and the number of their connections."""
    before = len(held.calls)
    tasks = [get(client) for _ in range(count)]
    await until(lambda: len(held.calls) == before + count, "the begin of all calls")
    return tasks, len(set(held.calls[before:]))


@AMOUNTS
@pytest.mark.parametrize("limit", [None, 100])
async def test_many_calls_at_once_are_all_answered(swift, connect, limit, amount):
    async with make_emulator(max_concurrent_streams=limit) as gateway:
        client = connect(gateway, timeout=PATIENCE)
        await client.save_state_async("workmanager", "k", "v")
        states = await asyncio.gather(*(get(client) for _ in range(amount)))
    assert {state["value"] for state in states} == {"v"}


@AMOUNTS
async def test_many_invocations_at_once_are_all_answered(swift, gateway, connect, amount):
    client = connect(gateway, timeout=PATIENCE)
    calls = (client.gateway.workmanager.ListWorkers() for _ in range(amount))
    assert all(reply["workers"] for reply in await asyncio.gather(*calls))


async def test_calls_use_as_few_connections_as_carry_them(connect, scripted, held):
    client = connect(scripted)
    tasks, connections = await many(client, held, 80)
    assert connections == 1
    more, connections = await many(client, held, 81)
    assert connections == 2
    held.may_end.set()
    await asyncio.gather(*tasks, *more)
    assert len(set(held.calls)) == 3


async def test_after_a_burst_the_first_connection_is_used(connect, scripted, held):
    client = connect(scripted)
    tasks, connections = await many(client, held, 240)
    assert connections == 3
    held.may_end.set()
    await asyncio.gather(*tasks)
    for _ in range(5):
        await get(client)
    assert set(held.calls[240:]) == {held.calls[0]}


async def test_calls_and_streams_share_no_connection(connect, scripted, held):
    client = connect(scripted)
    subscription = await client.pubsub.subscribe_async("t")
    tasks, _ = await many(client, held, 100)
    assert not set(held.streams) & set(held.calls)
    await subscription.aclose()
    held.may_end.set()
    await asyncio.gather(*tasks)


async def test_everything_goes_over_a_channel_that_was_given(scripted, held):
    async with (
        aio.insecure_channel(f"{scripted.host}:{scripted.port}") as channel,
        ApiClient(channel=channel) as client,
    ):
        subscription = await client.pubsub.subscribe_async("t")
        tasks, connections = await many(client, held, 90)
        assert connections == 1
        assert held.streams == [held.calls[0]]
        await subscription.aclose()
        held.may_end.set()
        await asyncio.gather(*tasks)


async def answered(scripted, held, client):
    tasks, _ = await many(client, held, 40)
    held.may_end.set()
    await asyncio.gather(*tasks)
    held.may_end.clear()


async def failed(scripted, held, client):
    scripted.fail("State.GetState", grpc.StatusCode.UNAVAILABLE)
    for result in await asyncio.gather(*(get(client) for _ in range(40)), return_exceptions=True):
        assert isinstance(result, UnavailableError)


async def expired(scripted, held, client):
    calls = (get(client, timeout=0.1 * UNIT) for _ in range(40))
    for result in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(result, DeadlineExceededError)


async def cancelled(scripted, held, client):
    tasks, _ = await many(client, held, 40)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def cancelled_before_it_is_sent(scripted, held, client):
    await answered(scripted, held, client)
    tasks = [get(client) for _ in range(40)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@pytest.mark.parametrize(
    "outcome", [answered, failed, expired, cancelled, cancelled_before_it_is_sent]
)
async def test_a_call_gives_its_place_back_whatever_becomes_of_it(connect, scripted, held, outcome):
    client = connect(scripted)
    await outcome(scripted, held, client)
    (first,) = client._transport._channels._unary
    await until(lambda: first.calls == 0, "the end of all calls")
    scripted.answer("State.GetState", held.answer)
    tasks, connections = await many(client, held, 80)
    assert connections == 1
    held.may_end.set()
    await asyncio.gather(*tasks)


async def test_calls_that_follow_cancelled_ones_at_once_are_not_refused(
    swift, virtufin_emulator_factory, connect
):
    client = connect(virtufin_emulator_factory(max_concurrent_streams=100))
    await get(client)
    for _ in range(10):
        tasks = []
        for _ in range(15):
            for task in tasks:
                task.cancel()
            # Saving, as reading would be tried again.
            saves = (client.save_state_async("workmanager", "k", "v") for _ in range(80))
            tasks = [asyncio.create_task(save) for save in saves]
            await asyncio.sleep(0.005 * UNIT)
        assert len(await asyncio.gather(*tasks)) == 80


@AMOUNTS
async def test_closing_ends_many_calls_with_an_error_that_says_so(
    swift, connect, scripted, held, amount
):
    client = connect(scripted, timeout=PATIENCE)
    tasks, _ = await many(client, held, amount)
    await client.close()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(result) for result in results} == {ClientClosedError}


async def test_a_call_that_waits_for_its_key_ends_with_the_client(connect, scripted, held):
    called, given = asyncio.Event(), asyncio.Event()

    async def key():
        called.set()
        await given.wait()
        return "k"

    client = connect(scripted, api_key=key)
    task = get(client, timeout=None)
    await called.wait()
    await client.close()
    with pytest.raises(ClientClosedError):
        await asyncio.wait_for(task, 5 * UNIT)
    given.set()
    assert held.calls == []


@pytest.mark.skipif(not MAY_HANG, reason="grpcio 1.78 mended that")
async def test_a_loop_does_not_hang_if_a_client_is_released_after_a_burst(virtufin_emulator):
    program = f"""
import asyncio, gc, time
from virtufin.api.client import ApiClient
async def burst(count):
    async with ApiClient("{virtufin_emulator.host}", {virtufin_emulator.port}) as client:
        await client.list_services_async()
        tasks = [asyncio.create_task(client.list_services_async()) for _ in range(count)]
        for _ in range(6):
            await asyncio.sleep(0)
        time.sleep({0.3 * UNIT})
        await asyncio.gather(*tasks)
async def main(count):
    await burst(count)
    gc.collect()
for count in range(278, 286):
    asyncio.run(main(count))
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stderr=subprocess.PIPE
    )
    try:
        _, err = await asyncio.wait_for(process.communicate(), 30 * UNIT)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert err == b""


@AMOUNTS
async def test_many_requests_share_one_stream(swift, gateway, connect, amount):
    client = connect(gateway, timeout=PATIENCE)
    await client.pubsub.respond("t", lambda event: event.data_as_json(), max_concurrency=50)
    ask = client.pubsub.publish_with_result_async
    replies = await asyncio.gather(*(ask("t", n, "r", timeout=PATIENCE) for n in range(amount)))
    assert gateway.faults.open_streams == 2
    assert [reply.data_as_json() for reply in replies] == list(range(amount))


@AMOUNTS
async def test_requests_end_though_the_gateway_restarts(swift, gateway, client, amount):
    # Those that the restart loses take all of it; on a loaded machine the others take much of it.
    timeout = max(20, amount / 50) * UNIT
    handled = 0
    middle = asyncio.Event()

    def answer(event):
        nonlocal handled
        handled += 1
        if handled == amount // 4:
            middle.set()
        return event.data_as_json()

    responder = await client.pubsub.respond("t", answer, max_concurrency=50)
    tasks = [
        asyncio.create_task(client.pubsub.publish_with_result_async("t", n, "r", timeout=timeout))
        for n in range(amount)
    ]
    await middle.wait()
    await gateway.stop(0)
    await gateway.start()
    _, hanging = await asyncio.wait(tasks, timeout=3 * timeout)
    assert not hanging
    errors = [task.exception() for task in tasks if task.exception()]
    assert all(isinstance(error, VirtufinError) for error in errors)
    assert 0 < len(errors) < amount
    assert all(
        task.result().data_as_json() == n for n, task in enumerate(tasks) if not task.exception()
    )
    # Paused by what it still has to handle, it may not have noticed yet that its stream broke.
    await until(lambda: responder.stats.interruptions)
    await responder.wait_for(SubscriptionState.LIVE, timeout=10 * UNIT)
    # Streams have a connection of their own: the one of calls may still wait before it tries again.
    await client.connect()
    reply = await client.pubsub.publish_with_result_async("t", amount, "r")
    assert reply.data_as_json() == amount
