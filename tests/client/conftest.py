"""Fixtures of the client's tests: an emulator in the test's loop, and clients of it."""

import asyncio
import os

import pytest

from tests.client.scripted import ScriptedGateway
from tests.layouts import make_emulator
from tests.timing import UNIT, until
from virtufin.api.client import ApiClient, ReconnectSettings, SubscriptionSettings

__all__ = ["QUICK", "UNIT", "WAITS", "until"]

QUICK = ReconnectSettings(initial_backoff=0.02 * UNIT, max_backoff=0.1 * UNIT, jitter=0.0)
WAITS = SubscriptionSettings(ready_wait=5 * UNIT, reply_linger=0.2 * UNIT)


@pytest.fixture(autouse=True)
def _no_settings_from_the_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("VIRTUFIN_API_")]:
        monkeypatch.delenv(name)


@pytest.fixture
async def swift():
    """The loop of the test without its debug mode, for thousands of tasks."""
    asyncio.get_running_loop().set_debug(False)


@pytest.fixture
async def gateway(unused_port):
    """An emulator in the loop of the test."""
    # Wall time, which a busy machine stretches: what blocks a loop is measured elsewhere.
    asyncio.get_running_loop().slow_callback_duration = 10 * UNIT
    async with make_emulator(port=unused_port) as emulator:
        yield emulator


@pytest.fixture
async def connect():
    """Makes clients that are closed after the test."""
    clients = []

    def make(target, **settings):
        settings = {"reconnect": QUICK, "subscription": WAITS, **settings}
        client = ApiClient(target.host, target.port, **settings)
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.close()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("virtufin-")]


@pytest.fixture
async def client(gateway, connect):
    """A client of the emulator."""
    return connect(gateway)


@pytest.fixture
async def scripted():
    """A gateway that answers what the test says."""
    async with ScriptedGateway() as server:
        yield server


class Hanging:
    """A method of the gateway that begins and does not end by itself."""

    def __init__(self):
        self.began = asyncio.Event()
        self.ended = asyncio.Event()

    async def serve(self, request, context):
        self.began.set()
        try:
            await asyncio.sleep(3600)
        finally:
            self.ended.set()


@pytest.fixture
def hanging(scripted):
    """GetState of the scripted gateway hangs."""
    method = Hanging()
    scripted.answer("State.GetState", method.serve)
    return method
