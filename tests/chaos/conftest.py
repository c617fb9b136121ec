"""A gateway whose connections can be broken, a subscriber behind the relay, publishers past it."""

import asyncio
import contextlib

import pytest

from tests.chaos.ledger import TOPIC, Consumer, Publisher
from tests.layouts import make_emulator
from tests.timing import UNIT, until
from virtufin.api.client import (
    ApiClient,
    KeepaliveSettings,
    ReconnectSettings,
    SubscriptionSettings,
    SubscriptionState,
)

BUFFERED = 8
RECONNECT = ReconnectSettings(initial_backoff=0.02 * UNIT, max_backoff=0.2 * UNIT)
KEEPALIVE = KeepaliveSettings(time=0.5 * UNIT, timeout=1.5 * UNIT)
"""Long, because the pings go through the relay in this process, which a loaded machine delays."""
# The wait is longer than keepalive needs to notice a dead connection, because a stream on such a
# connection would count as live in the meantime, and its end as a second gap.
WAITS = SubscriptionSettings(
    ready_wait=2.5 * UNIT, idle_limit=1.0 * UNIT, max_buffered_events=BUFFERED
)
CLOSED_WITHIN = 5 * UNIT


class Scene:
    """A subscriber, a gateway, and as many publishers as the test starts."""

    def __init__(self, gateway, client, stack):
        self.gateway = gateway
        self.client = client
        self.consumer = Consumer()
        self.publishers = []
        self.handle = None
        self._publishing = []
        self._stack = stack

    async def publisher(self, name):
        """A publisher past the relay, which faults of the network do not reach."""
        host, _, port = self.gateway.direct_target.rpartition(":")
        client = await self._stack.enter_async_context(ApiClient(host, int(port)))
        self.publishers.append(Publisher(client, name))
        return self.publishers[-1]

    async def subscribe(self, *, wait=True):
        """Subscribes; returns when the stream is confirmed, or at once with `wait=False`."""
        timeout = 10 * UNIT if wait else 0.0
        self.handle = await self.client.subscribe_async_with_handler(
            self.consumer, topics=TOPIC, timeout=timeout
        )
        if wait:
            assert self.handle.confirmed

    def keep_publishing(self, publisher, pause):
        """Publishes in the background until `stop_publishing`."""
        self._publishing.append(asyncio.create_task(publisher.publish_on(pause)))

    async def stop_publishing(self):
        """Ends all publishing in the background."""
        for task in self._publishing:
            task.cancel()
        await asyncio.gather(*self._publishing, return_exceptions=True)
        self._publishing.clear()

    async def live(self):
        """Waits until the stream is confirmed live."""
        await until(
            lambda: self.handle.state is SubscriptionState.LIVE and self.handle.confirmed,
            "a live stream",
        )

    async def close(self):
        """Closes the client, which must neither take long nor leave anything running."""
        await asyncio.wait_for(self.client.close(), CLOSED_WITHIN)
        assert self.handle is None or self.handle.state.ended
        running = [task.get_name() for task in asyncio.all_tasks()]
        assert not [name for name in running if name.startswith("virtufin-")]


@pytest.fixture
async def scene(caplog):
    asyncio.get_running_loop().slow_callback_duration = 10 * UNIT
    async with contextlib.AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(make_emulator(relay=True))
        client = ApiClient(
            gateway.host,
            gateway.port,
            reconnect=RECONNECT,
            keepalive=KEEPALIVE,
            subscription=WAITS,
        )
        scene = Scene(gateway, client, stack)
        yield scene
        await scene.stop_publishing()
        await scene.close()
        gateway.faults.clear()
        gateway.network.clear()
        await until(lambda: gateway.faults.open_streams == 0, "the end of all streams")
    assert not [record for record in caplog.records if record.name == "asyncio"]
