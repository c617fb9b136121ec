"""The memory that a slow consumer costs, each part in a process of its own."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from tests.client.conftest import UNIT
from virtufin.api.client import SubscriptionSettings

MB = 1024 * 1024
EVENTS = 20_000
SIZE = 8 * 1024
PROGRAM = Path(__file__).with_name("slow_consumer.py")


@pytest.mark.heavy
@pytest.mark.timeout(240 * UNIT)
@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory from /proc")
async def test_a_consumer_held_back_gets_all_and_costs_bounded_memory(
    swift, virtufin_emulator, connect
):
    gateway = virtufin_emulator
    consumer = await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), gateway.host, str(gateway.port), str(EVENTS),
        stdin=PIPE, stdout=PIPE,
    )  # fmt: skip
    try:
        assert await asyncio.wait_for(consumer.stdout.readline(), 30 * UNIT) == b"live\n"
        client = connect(gateway)
        for number in range(EVENTS):
            await client.pubsub.publish_async("t", f"{number:08}".ljust(SIZE, "x"))
        out, _ = await asyncio.wait_for(consumer.communicate(b"\n"), 120 * UNIT)
    finally:
        if consumer.returncode is None:
            consumer.kill()
            await consumer.wait()
    seen = json.loads(out)
    bounds = SubscriptionSettings()
    assert seen["in_order"]
    assert seen["interruptions"] == 0
    assert seen["held_back"] > 0.9 * bounds.max_buffered_events
    assert seen["events"] <= bounds.max_buffered_events
    assert seen["size"] <= bounds.max_buffered_bytes + 2 * SIZE
    assert seen["growth"] < 40 * MB
