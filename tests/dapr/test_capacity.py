"""The limiter at the moments that cannot be chosen from outside."""

import asyncio

import pytest

from virtufin.api.client.errors import ClientClosedError

# Private, because what happens in one turn of the loop cannot be arranged at a publisher.
from virtufin.api.dapr._publishing.capacity import Capacity


@pytest.fixture
async def full():
    """Capacity that is taken, and one who waits for it."""
    capacity = Capacity(1, 100)
    assert capacity.try_acquire(10)
    waiting = asyncio.create_task(capacity.acquire(10))
    await asyncio.sleep(0)
    assert capacity.has_waiters
    return capacity, waiting


async def test_a_waiter_cancelled_after_it_got_capacity_returns_it(full):
    capacity, waiting = full
    capacity.release(10)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert capacity.try_acquire(10)


async def test_a_waiter_that_got_capacity_is_refused_if_the_capacity_was_closed_then(full):
    capacity, waiting = full
    capacity.release(10)
    capacity.close(lambda: ClientClosedError("closed"))
    with pytest.raises(ClientClosedError):
        await waiting


async def test_closed_capacity_admits_no_event(full):
    capacity, waiting = full
    capacity.close(lambda: ClientClosedError("closed"))
    with pytest.raises(ClientClosedError):
        await waiting
    with pytest.raises(ClientClosedError):
        capacity.try_acquire(10)


async def test_a_waiter_that_leaves_admits_those_behind_that_fit():
    capacity = Capacity(10, 100)
    assert capacity.try_acquire(60)
    large = asyncio.create_task(capacity.acquire(90))
    small = asyncio.create_task(capacity.acquire(30))
    await asyncio.sleep(0)
    assert not capacity.try_acquire(1)
    large.cancel()
    assert await small
    with pytest.raises(asyncio.CancelledError):
        await large


async def test_a_waiter_that_times_out_leaves_nothing_behind(full):
    capacity, waiting = full
    assert not await capacity.acquire(10, 0.01)
    capacity.release(10)
    assert await waiting
    assert not capacity.has_waiters
