"""Room for events at the moments that cannot be chosen from outside."""

import asyncio

import pytest

from virtufin.api.client._deadline import Budget
from virtufin.api.client.errors import ClientClosedError
from virtufin.api.dapr._room import Room

NO_LIMIT = Budget(None)


@pytest.fixture
async def full():
    """Room that is taken, and one who waits for it."""
    room = Room(1, 100)
    assert room.take_now(10)
    waiting = asyncio.create_task(room.take(10, NO_LIMIT))
    await asyncio.sleep(0)
    assert room.crowded
    return room, waiting


async def test_one_cancelled_after_room_was_given_gives_it_back(full):
    room, waiting = full
    room.release(10)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert room.take_now(10)


async def test_one_who_was_given_room_that_was_closed_then_is_sent_away(full):
    room, waiting = full
    room.release(10)
    room.close()
    with pytest.raises(ClientClosedError):
        await waiting


async def test_closed_room_takes_nobody(full):
    room, waiting = full
    room.close()
    with pytest.raises(ClientClosedError):
        await waiting
    with pytest.raises(ClientClosedError):
        room.take_now(10)


async def test_one_who_goes_lets_those_behind_in_that_fit():
    room = Room(10, 100)
    assert room.take_now(60)
    large = asyncio.create_task(room.take(90, NO_LIMIT))
    small = asyncio.create_task(room.take(30, NO_LIMIT))
    await asyncio.sleep(0)
    assert not room.take_now(1)
    large.cancel()
    assert await small
    with pytest.raises(asyncio.CancelledError):
        await large


async def test_one_who_waits_in_vain_leaves_nothing_behind(full):
    room, waiting = full
    assert not await room.take(10, Budget(0.01))
    room.release(10)
    assert await waiting
    assert not room.crowded
