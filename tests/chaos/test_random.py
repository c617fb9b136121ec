"""Faults at random, one upon the other, while publishers publish and consumers consume.

The seed is printed when a run fails; VIRTUFIN_TEST_SEED repeats its choices.
"""

import asyncio
import random

import pytest

from tests.chaos.ledger import TOPIC, Consumer, check
from tests.codes import TRANSIENT
from tests.timing import UNIT, until

CODES = [*sorted(code.name for code in TRANSIENT), "OK"]


class Chance:
    """Choices that follow from one seed."""

    def __init__(self, seed):
        self._random = random.Random(seed)

    def span(self, low, high):
        return self._random.uniform(low, high) * UNIT

    def one_of(self, choices):
        return self._random.choice(choices)

    def number(self, highest):
        return self._random.randint(0, highest)


class Monkey:
    """Breaks things; each verb takes the time that what it breaks is broken."""

    def __init__(self, gateway, chance, *, sweeps):
        self._gateway = gateway
        self._chance = chance
        self._verbs = [
            self.cut_streams,
            self.cut_later,
            self.fail_a_write,
            self.fail_opening,
            self.delay_opening,
            self.hold_headers,
            self.slow_writes,
            self.close_connections,
            self.reset_connections,
            self.freeze,
            self.black_hole,
            self.refuse,
            self.restart,
            *([self.stall] if sweeps else []),
        ]

    async def play(self, seconds):
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            await self._chance.one_of(self._verbs)()
            await asyncio.sleep(self._chance.span(0.0, 0.4))

    async def cut_streams(self):
        self._gateway.faults.cut_streams(self._chance.one_of(CODES))

    async def cut_later(self):
        self._gateway.faults.cut_after(self._chance.number(20), self._chance.one_of(CODES))

    async def fail_a_write(self):
        self._gateway.faults.fail_write("INTERNAL", after=self._chance.number(20))

    async def fail_opening(self):
        code = self._chance.one_of([code for code in CODES if code != "OK"])
        times = 1 + self._chance.number(2)
        self._gateway.faults.fail("Pubsub/Subscribe", code, times=times)

    async def delay_opening(self):
        self._gateway.faults.delay("Pubsub/Subscribe", self._chance.span(0.01, 0.5))

    async def hold_headers(self):
        self._gateway.faults.hold_headers(times=1 + self._chance.number(1))

    async def slow_writes(self):
        self._gateway.faults.slow_writes(self._chance.span(0.001, 0.03))

    async def stall(self):
        self._gateway.faults.stall(after=self._chance.number(5))

    async def close_connections(self):
        self._gateway.network.close_connections()

    async def reset_connections(self):
        self._gateway.network.reset_connections()

    async def freeze(self):
        with self._gateway.network.freeze_connections():
            await asyncio.sleep(self._chance.span(0.0, 1.5))

    async def black_hole(self):
        with self._gateway.network.freeze_connections(new=True):
            await asyncio.sleep(self._chance.span(0.0, 1.5))

    async def refuse(self):
        with self._gateway.network.refuse_connections():
            self._gateway.network.reset_connections()
            await asyncio.sleep(self._chance.span(0.0, 0.5))

    async def restart(self):
        await self._gateway.restart(away=self._chance.span(0.0, 0.5))


async def iterate(subscription, consumer, chance):
    """Iterates at random speed, giving up waits at any moment."""
    while True:
        waiting = asyncio.ensure_future(anext(subscription))
        if chance.number(3) == 0:
            await asyncio.sleep(chance.span(0.0, 0.002))
            waiting.cancel()
        try:
            consumer.note(await waiting)
        except asyncio.CancelledError:
            if not waiting.cancelled():
                raise
        except StopAsyncIteration:
            return
        if chance.number(200) == 0:
            await asyncio.sleep(chance.span(0.0, 0.5))


async def until_received(publisher, consumers):
    """Publishes until all hear of it: a break of the last moment may not have been noticed yet."""
    loop = asyncio.get_running_loop()
    end = loop.time() + 10 * UNIT
    while True:
        assert loop.time() < end, "nothing is received any more"
        probe = (publisher.name, await publisher.publish())
        await asyncio.sleep(0.05 * UNIT)
        if all(probe in consumer.events for consumer in consumers):
            return


@pytest.mark.parametrize("sweeps", [False, True], ids=["", "with streams dropped without notice"])
@pytest.mark.parametrize(
    "length", [3, pytest.param(20, marks=pytest.mark.heavy)], ids=["short", "long"]
)
async def test_through_faults_at_random_the_promise_is_kept(scene, seed, sweeps, length):
    gateway = scene.gateway
    await scene.subscribe()
    other = Consumer()
    subscription = await scene.client.pubsub.subscribe_async(TOPIC)
    iterating = asyncio.create_task(iterate(subscription, other, Chance(seed + 1)))
    publishers = [await scene.publisher(name) for name in "abc"]
    for publisher in publishers:
        scene.keep_publishing(publisher, 0.004 * UNIT)

    await Monkey(gateway, Chance(seed), sweeps=sweeps).play(length * UNIT)
    gateway.faults.clear()
    gateway.network.clear()

    await scene.stop_publishing()
    consumers = (scene.consumer, other)
    await publishers[0].reach()
    await until_received(publishers[0], consumers)
    last = ("a", await publishers[0].publish("last"))
    await until(lambda: all(last in consumer.events for consumer in consumers), "the last event")
    unreported = 10**6 if sweeps else 0
    check(scene.consumer, publishers, unreported_gaps=unreported)
    check(other, publishers, unreported_gaps=10**6)
    assert len(scene.consumer.gaps) == scene.handle.stats.interruptions
    assert scene.consumer.failures == []
    assert len(scene.consumer.events) == scene.handle.stats.received
    assert len(other.events) == subscription.stats.received
    await subscription.aclose()
    await iterating
