"""Replies are complete and typed, whatever the fields, as a stub would give them."""

import asyncio
import math
import struct

import pytest
from google.protobuf import text_format
from hypothesis import HealthCheck, given, settings

from tests.backend import Probe
from tests.client import kinds
from tests.layouts import make_emulator
from virtufin.api.client import ApiClient
from virtufin.api.emulator import Service

PROBE = Probe(text_format.MessageToString(kinds.file()))
KINDS = PROBE.message("kinds.Kinds")
QUICK = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)


class World:
    """A backend, a gateway of each JSON style before it, and clients, in one loop."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self._start())

    async def _start(self):
        await PROBE.start()
        self._parts = []
        self.clients = {}
        for style in ("camel", "proto"):
            service = Service("kinds", PROBE.address)
            gateway = await make_emulator(services=[service], json_names=style).__aenter__()
            client = await ApiClient(gateway.host, gateway.port).__aenter__()
            self._parts += [gateway, client]
            self.clients[style] = client

    def echo(self, style, message):
        """Returns the message that came to the backend, and the reply."""
        received = []

        async def answer(request):
            received.append(request)
            return request

        PROBE.answer = answer
        call = self.clients[style].gateway.kinds.Echo(message)
        reply = self.loop.run_until_complete(call)
        return received[0], reply

    def close(self):
        self.loop.run_until_complete(self._stop())
        self.loop.close()

    async def _stop(self):
        for part in reversed(self._parts):
            await part.__aexit__(None, None, None)
        await PROBE.stop()


@pytest.fixture(scope="module")
def world():
    one = World()
    yield one
    one.close()


def comparable(value):
    """Floats by their bits, as NaN is not equal to itself and -0.0 is to 0.0."""
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [comparable(item) for item in value]
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else struct.pack("d", value)
    return type(value).__name__, value


def check(world, style, message):
    _, reply = world.echo(style, message)
    assert comparable(reply) == comparable(kinds.expected(message))


@pytest.mark.parametrize("style", ["camel", "proto"])
@given(message=kinds.messages(KINDS))
@settings(QUICK, max_examples=60, derandomize=True)
def test_a_reply_is_what_a_stub_gives(world, style, message):
    check(world, style, message)


@pytest.mark.heavy
@pytest.mark.parametrize("style", ["camel", "proto"])
@given(message=kinds.messages(KINDS))
@settings(QUICK, max_examples=2000)
def test_many_replies_are_what_a_stub_gives(world, style, message):
    check(world, style, message)


@pytest.mark.parametrize("style", ["camel", "proto"])
@given(message=kinds.messages(KINDS))
@settings(QUICK, max_examples=60, derandomize=True)
def test_a_reply_can_be_sent_again_as_a_request(world, style, message):
    reply = kinds.expected(message)
    # None of a member of a oneof is a null that was set; of any other field, that it is not set.
    request = {
        key: value
        for key, value in reply.items()
        if value is not None or key.startswith(kinds.IN_ONEOF)
    }
    again, _ = world.echo(style, request)
    assert comparable(kinds.expected(again)) == comparable(reply)
