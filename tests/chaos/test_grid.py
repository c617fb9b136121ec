"""Every fault in every state of a stream: events once, in order, gaps reported, and an end."""

import asyncio

import pytest

from tests.chaos.conftest import BUFFERED, CLOSED_WITHIN
from tests.chaos.faults import FAULTS
from tests.chaos.ledger import check
from tests.timing import UNIT, until
from virtufin.api.client import StreamFailedError, SubscriptionState

IN_EVERY_RUN = {
    ("connecting", "cut"),
    ("connecting", "UNAUTHENTICATED"),
    ("live idle", "half-open"),
    ("live idle", "stall"),
    ("live idle", "INTERNAL"),
    ("live busy", "rst"),
    ("live busy", "clean end"),
    ("live busy", "PERMISSION_DENIED"),
    ("consumer paused", "cut"),
    ("consumer paused", "UNAVAILABLE"),
    ("reconnecting", "slow start"),
    ("reconnecting", "NOT_FOUND"),
    ("closing", "half-open"),
    ("closing", "long restart"),
}
"""The small cut of the grid that `scripts/test` runs; `.ci/run` runs all of it."""


def columns(state):
    return [
        pytest.param(
            fault,
            id=fault.name,
            marks=() if (state, fault.name) in IN_EVERY_RUN else pytest.mark.heavy,
        )
        for fault in FAULTS
    ]


async def strike(scene, fault, *, stream_is_open=True):
    """Lets the fault happen, and what it holds end with the scene."""
    await fault.strike(scene.gateway, stream_is_open)


async def comes_through(scene, fault, publisher, *, gaps):
    """The stream fails if it must; else it is live again and delivers the next events."""
    if fault.fatal:
        await fails_visibly(scene, fault)
    else:
        await is_live_again(scene, fault, publisher, gaps=gaps)
    await scene.stop_publishing()
    await until(lambda: scene.handle.stats.received == len(scene.consumer.events), "all of it")
    check(scene.consumer, scene.publishers, unreported_gaps=1 if fault.unnoticed else 0)


async def fails_visibly(scene, fault):
    with pytest.raises(StreamFailedError) as caught:
        await asyncio.wait_for(scene.handle.wait_closed(), 10 * UNIT)
    assert caught.value.status == fault.name
    assert scene.handle.state is SubscriptionState.FAILED
    assert [type(error).__name__ for error in scene.consumer.failures] == ["StreamFailedError"]


async def is_live_again(scene, fault, publisher, *, gaps):
    handle = scene.handle
    if fault.unnoticed:
        await until(
            lambda: handle.stats.handovers or handle.stats.interruptions > gaps, "a new stream"
        )
        assert handle.stats.interruptions == gaps, scene.consumer.gaps
    else:
        await until(lambda: handle.stats.interruptions == gaps, "the report of the gap")
    await publisher.reach()
    await scene.live()
    after = [(publisher.name, await publisher.publish("after")) for _ in range(5)]
    await until(lambda: after[-1] in scene.consumer.events, "what came after")
    assert [event for event in scene.consumer.events if event in after] == after
    assert handle.stats.interruptions == len(scene.consumer.gaps) == gaps
    assert scene.consumer.failures == []


def expected_gaps(fault):
    return 0 if fault.unnoticed else 1


@pytest.mark.parametrize("fault", columns("connecting"))
async def test_while_connecting(scene, fault):
    publisher = await scene.publisher("p")
    scene.gateway.faults.hold_headers()
    await scene.subscribe(wait=False)
    await until(lambda: scene.gateway.faults.open_streams == 1)
    assert scene.handle.state is SubscriptionState.CONNECTING
    await strike(scene, fault)
    await comes_through(scene, fault, publisher, gaps=expected_gaps(fault))


@pytest.mark.parametrize("fault", columns("live idle"))
async def test_while_live_and_idle(scene, fault):
    publisher = await scene.publisher("p")
    await scene.subscribe()
    await strike(scene, fault)
    await comes_through(scene, fault, publisher, gaps=expected_gaps(fault))


@pytest.mark.parametrize("fault", columns("live busy"))
async def test_while_live_and_busy(scene, fault):
    await scene.subscribe()
    for name in "ab":
        scene.keep_publishing(await scene.publisher(name), 0.005 * UNIT)
    await until(lambda: len(scene.consumer.events) > 20)
    await strike(scene, fault)
    publisher = await scene.publisher("p")
    await comes_through(scene, fault, publisher, gaps=expected_gaps(fault))


@pytest.mark.parametrize("fault", columns("consumer paused"))
async def test_while_the_consumer_is_paused(scene, fault):
    publisher = await scene.publisher("p")
    await scene.subscribe()
    scene.consumer.gate.clear()
    before = [(publisher.name, await publisher.publish()) for _ in range(3 * BUFFERED)]
    await until(lambda: scene.handle.stats.buffered == BUFFERED)
    await strike(scene, fault)
    received = scene.handle.stats.received
    scene.consumer.gate.set()
    await until(lambda: len(scene.consumer.events) >= received)
    assert scene.consumer.events[:received] == before[:received]
    await comes_through(scene, fault, publisher, gaps=expected_gaps(fault))


@pytest.mark.parametrize("fault", columns("reconnecting"))
async def test_while_reconnecting(scene, fault):
    publisher = await scene.publisher("p")
    await scene.subscribe()
    refused = scene.gateway.faults.fail("Pubsub/Subscribe", "UNAVAILABLE", times=None)
    scene.gateway.faults.cut_streams()
    await until(lambda: refused.used > 2)
    assert scene.handle.state is SubscriptionState.RECONNECTING
    refused.lift()
    await strike(scene, fault, stream_is_open=False)
    await comes_through(scene, fault, publisher, gaps=1)


@pytest.mark.parametrize("fault", columns("closing"))
async def test_while_closing(scene, fault):
    publisher = await scene.publisher("p")
    await scene.subscribe()
    scene.consumer.gate.clear()
    scene.consumer.lingers = 0.3 * UNIT
    await publisher.publish()
    await until(lambda: scene.handle.stats.delivered == 1)
    closing = asyncio.create_task(scene.client.close())
    await scene.consumer.cancelled.wait()
    await strike(scene, fault, stream_is_open=scene.gateway.faults.open_streams == 1)
    await asyncio.wait_for(closing, CLOSED_WITHIN)
    assert scene.handle.state is SubscriptionState.CLOSED
    await scene.handle.wait_closed()
    assert scene.consumer.notes == []
