"""The pool of handlers when several things happen in one turn of the loop."""

import asyncio

import pytest

# Private, because what happens in one turn of the loop cannot be arranged at an app.
from virtufin.api.dapr._app.handler_pool import AppStoppingError, HandlerPool


class Step:
    """A handler that ends when `go` is set."""

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


async def test_a_place_given_to_a_step_that_is_then_cancelled_is_passed_on():
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


async def test_a_place_given_while_the_pool_stops_is_not_taken():
    work, first, second = HandlerPool(1), Step(), Step()
    one, two = await begun(work, first, second)
    [running] = work._running
    running.add_done_callback(lambda _: work._capacity.close(AppStoppingError))
    first.go.set()
    await one
    with pytest.raises(AppStoppingError):
        await two


async def test_a_step_that_was_cancelled_while_waiting_is_skipped():
    work, first, second, third = HandlerPool(1), Step(), Step(), Step()
    one, two, three = await begun(work, first, second, third)
    two.cancel()
    first.go.set()
    third.go.set()
    await asyncio.gather(one, three)
    assert two.cancelled()


async def test_a_drain_skips_a_step_that_was_cancelled():
    work, first, second = HandlerPool(1), Step(), Step()
    one, two = await begun(work, first, second)
    two.cancel()
    await work.drain(0.0)
    with pytest.raises(AppStoppingError):
        await one
