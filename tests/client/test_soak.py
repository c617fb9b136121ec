"""Two clients with fifty tasks each do mixed calls against one emulator for a while."""

import asyncio
import gc
import logging
import os
import random

import grpc
import pytest
from grpc import aio

from tests.client.conftest import UNIT, until
from virtufin.api.client import ConflictError

pytestmark = pytest.mark.slow

TASKS = 50
SECONDS = float(os.environ.get("VIRTUFIN_SOAK_SECONDS", "10"))


async def _state(client, name, count, chance):
    await client.save_state_async("workmanager", name, str(count))
    state = await client.get_state_async("workmanager", name)
    assert state["value"] == str(count)
    if chance.random() < 0.3:
        with pytest.raises(ConflictError) as caught:
            await client.save_state_async("workmanager", name, "x", etag="never")
        assert caught.value.key == name


async def _tags(client, name, count, worker):
    await client.gateway.workmanager.SetTag({"id": worker, "key": name, "value": str(count)})
    reply = await client.gateway.workmanager.GetTag({"id": worker, "key": name})
    assert reply["value"] == str(count)


async def _request(client, name, count):
    reply = await client.pubsub.publish_with_result_async("echo", {"n": count, "by": name}, "back")
    assert reply.data_as_json() == {"n": count, "by": name}


async def _event(client, name, count, subscription):
    await client.pubsub.publish_async(f"own.{name}", str(count))
    event = await asyncio.wait_for(anext(subscription), 20 * UNIT)
    assert event.data_as_text() == str(count)


async def _task(client, name, end, chance, counters):
    loop = asyncio.get_running_loop()
    reply = await client.gateway.workmanager.CreateWorker(
        {"code_source": {"url": "https://example.com"}, "mime_type": "text/x-python"}
    )
    worker = reply["id"]
    async with client.pubsub.subscribe_async_iter(f"own.{name}") as subscription:
        count = 0
        # Once at least, because on a busy machine the time may be over before all have begun.
        while not count or loop.time() < end:
            count += 1
            kind = chance.choice(("state", "tags", "request", "event"))
            if kind == "state":
                await _state(client, name, count, chance)
            elif kind == "tags":
                await _tags(client, name, count, worker)
            elif kind == "request":
                await _request(client, name, count)
            else:
                await _event(client, name, count, subscription)
            counters[kind] = counters.get(kind, 0) + 1
            if chance.random() < 0.05:
                task = asyncio.create_task(client.list_services_async())
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait((task,))


def _channels():
    return {id(thing): thing for thing in gc.get_objects() if isinstance(thing, aio.Channel)}


async def test_a_hundred_tasks_get_no_wrong_result_and_leave_nothing(
    virtufin_emulator, connect, caplog, seed
):
    loop = asyncio.get_running_loop()
    loop.slow_callback_duration = 10 * UNIT
    others = _channels()
    clients = [connect(virtufin_emulator), connect(virtufin_emulator)]
    before = asyncio.all_tasks()
    counters = {}
    await clients[0].pubsub.respond("echo", lambda event: event.data_as_json(), max_concurrency=20)
    end = loop.time() + SECONDS
    work = (
        _task(client, f"{index}x{task}", end, random.Random(f"{seed}{index}{task}"), counters)
        for index, client in enumerate(clients)
        for task in range(TASKS)
    )
    await asyncio.gather(*work)
    mine = [channel for key, channel in _channels().items() if key not in others]
    assert len(mine) >= 4
    for client in clients:
        await client.close()
    assert set(counters) == {"state", "tags", "request", "event"}
    await until(lambda: asyncio.all_tasks() == before, "the end of all tasks")
    assert all(channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN for channel in mine)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
