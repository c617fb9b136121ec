"""Places for work, where what happens in the same turn of the loop decides."""

import asyncio

import pytest

# Private, because what happens in one turn of the loop cannot be arranged at an app.
from virtufin.api.dapr._app.handler_pool import AppStoppingError, HandlerPool


class Step:
    """HandlerPool that ends when it is told to."""

    def __init__(self):
        self.go = asyncio.Event()

    async def __call__(self):
        await self.go.wait()


async def begun(work, *steps):
    """Tasks that run these steps, as far as they come by themselves."""
    tasks = [asyncio.ensure_future(work.run(step)) for step in steps]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_a_place_given_to_who_is_cancelled_meanwhile_is_passed_on():
    work, first, second, third = HandlerPool(1), Step(), Step(), Step()
    one, two, three = await begun(work, first, second, third)
    [running] = work._running
    running.add_done_callback(lambda _: two.cancel())
    first.go.set()
    await one
    with pytest.raises(asyncio.CancelledError):
        await two
    third.go.set()
    await three


async def test_a_place_given_while_the_end_begins_is_not_taken():
    work, first, second = HandlerPool(1), Step(), Step()
    one, two = await begun(work, first, second)
    [running] = work._running
    running.add_done_callback(lambda _: work._capacity.close(AppStoppingError))
    first.go.set()
    await one
    with pytest.raises(AppStoppingError):
        await two


async def test_who_was_cancelled_while_waiting_is_passed_over():
    work, first, second, third = HandlerPool(1), Step(), Step(), Step()
    one, two, three = await begun(work, first, second, third)
    two.cancel()
    first.go.set()
    third.go.set()
    await asyncio.gather(one, three)
    assert two.cancelled()


async def test_an_end_passes_over_who_was_cancelled():
    work, first, second = HandlerPool(1), Step(), Step()
    one, two = await begun(work, first, second)
    two.cancel()
    await work.drain(0.0)
    with pytest.raises(AppStoppingError):
        await one
