"""The hand-over between a reader and its consumers."""

import asyncio

import pytest

# Private, because what happens in one turn of the loop cannot be arranged at a stream.
from virtufin.api.client._subscriptions.buffer import Buffer, Ended


async def test_items_come_in_order():
    buffer = Buffer(10, 100)
    for item in (1, 2, 3):
        buffer.append(item, 1)
    assert [await buffer.get() for _ in range(3)] == [1, 2, 3]


async def test_a_wait_that_is_cancelled_loses_no_item():
    buffer = Buffer(10, 100)
    for item in range(50):
        waiting = asyncio.create_task(buffer.get())
        await asyncio.sleep(0)
        waiting.cancel()
        buffer.append(item, 1)
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await buffer.get() == item


async def test_a_wait_cancelled_after_it_was_woken_passes_the_item_on():
    buffer = Buffer(10, 100)
    first = asyncio.create_task(buffer.get())
    second = asyncio.create_task(buffer.get())
    await asyncio.sleep(0)
    buffer.append("item", 1)
    first.cancel()
    assert await second == "item"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_several_consumers_share_the_items():
    buffer = Buffer(10, 100)
    waiting = [asyncio.create_task(buffer.get()) for _ in range(3)]
    await asyncio.sleep(0)
    for item in range(3):
        buffer.append(item, 1)
    assert sorted(await asyncio.gather(*waiting)) == [0, 1, 2]


async def test_a_full_buffer_holds_the_producer_until_half_is_taken():
    buffer = Buffer(4, 1000)
    for item in range(4):
        buffer.append(item, 1)
    producer = buffer.room()
    await asyncio.sleep(0)
    assert buffer.paused
    await buffer.get()
    await asyncio.sleep(0)
    assert not producer.done()
    await buffer.get()
    await producer
    assert not buffer.paused


async def test_bytes_fill_the_buffer_too():
    buffer = Buffer(100, 10)
    buffer.append("a", 6)
    assert buffer.room() is None
    buffer.append("b", 6)
    producer = buffer.room()
    await asyncio.sleep(0)
    assert buffer.paused
    await buffer.get()
    assert not producer.done()
    await buffer.get()
    await producer


async def test_an_item_larger_than_the_bound_passes_alone():
    buffer = Buffer(100, 10)
    buffer.append("huge", 1000)
    producer = buffer.room()
    await asyncio.sleep(0)
    assert await buffer.get() == "huge"
    await producer


async def test_the_items_of_a_finished_buffer_are_still_returned():
    buffer = Buffer(10, 100)
    buffer.append("last", 1)
    buffer.finish()
    buffer.finish(lambda: RuntimeError("too late"))
    assert await buffer.get() == "last"
    with pytest.raises(Ended):
        await buffer.get()


async def test_the_error_of_a_finished_buffer_is_raised_every_time():
    buffer = Buffer(10, 100)
    buffer.finish(lambda: LookupError("why"))
    for _ in range(2):
        with pytest.raises(LookupError, match="why"):
            await buffer.get()


async def test_finishing_wakes_every_waiting_consumer():
    buffer = Buffer(10, 100)
    waiting = [asyncio.create_task(buffer.get()) for _ in range(3)]
    await asyncio.sleep(0)
    buffer.finish()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [Ended] * 3
