"""Costs as the work grows: tasks, payloads, subscriptions; and asyncio against uvloop."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator

from grpc import aio
from pairs import Row, Series, in_flight
from servers import canned, emulator

from virtufin.api.client import ApiClient
from virtufin.api.protos import state_pb2, state_pb2_grpc

TASKS = (1, 4, 16, 64, 256, 512)
PAYLOADS = (100, 1_000, 10_000, 100_000, 1_000_000)
SUBSCRIPTIONS = (1, 10, 100, 300, 1000)


async def series(quick: bool) -> AsyncIterator[Series]:
    """Yields each series when it is measured."""
    yield await tasks(quick)
    yield await payloads(quick)
    yield subscriptions(quick)


async def timed(run) -> tuple[float, float]:
    """Returns the wall and processor time a unit, in microseconds; the better of three."""
    best: list[tuple[float, float]] = []
    for _ in range(3):
        wall, cpu = time.perf_counter(), time.process_time()
        count = await run()
        best.append(
            ((time.perf_counter() - wall) / count * 1e6, (time.process_time() - cpu) / count * 1e6)
        )
    return min(wall for wall, _ in best), min(cpu for _, cpu in best)


async def tasks(quick: bool) -> Series:
    """Unary calls of more and more tasks."""
    found = Series("unary", "processor time a call", "calls in flight", "µs")
    with canned() as server:
        async with (
            ApiClient("127.0.0.1", server.port, wire="packaged") as client,
            aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
        ):
            stub = state_pb2_grpc.StateStub(channel)

            async def peer() -> None:
                request = state_pb2.GetStateRequest(service="workmanager", key="k")
                await stub.GetState(request, timeout=30)

            async def ours() -> None:
                await client.get_state_async("workmanager", "k")

            for name, call in (("bare stub", peer), ("client", ours)):
                found.lines[name] = []
                for count in TASKS[::2] if quick else TASKS:
                    _, cpu = await timed(in_flight(call, count, max(512, 2 * count)))
                    found.lines[name].append((count, cpu))
    return found


async def payloads(quick: bool) -> Series:
    """Writes of larger and larger values, in the time for each 1000 bytes."""
    found = Series("unary", "time to write a value and read it", "bytes", "µs")
    with emulator() as server:
        async with ApiClient("127.0.0.1", server.port) as client:
            found.lines["client"] = []
            for size in PAYLOADS[::2] if quick else PAYLOADS:
                value = "x" * size

                async def both(value: str = value) -> None:
                    await client.save_state_async("workmanager", "k", value)
                    assert (await client.get_state_async("workmanager", "k"))["value"] == value

                wall, _ = await timed(in_flight(both, 1, 20))
                found.lines["client"].append((size, wall))
    return found


HOLD = """
import asyncio, sys, tracemalloc, gc
from virtufin.api.client import ApiClient
def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096
async def main():
    async with ApiClient("127.0.0.1", int(sys.argv[1])) as client:
        first = await client.pubsub.subscribe_async("first")
        gc.collect()
        before = resident()
        held = await asyncio.gather(
            *(client.pubsub.subscribe_async(f"t{n}", timeout=60) for n in range(int(sys.argv[2])))
        )
        gc.collect()
        print((resident() - before) / len(held) / 1000)
        await asyncio.gather(*(one.aclose() for one in held))
asyncio.run(main())
"""


def subscriptions(quick: bool) -> Series:
    """Memory of more and more idle subscriptions."""
    found = Series("streams", "memory an idle subscription", "subscriptions", "kB")
    found.lines["client"] = []
    with emulator() as server:
        for count in SUBSCRIPTIONS[1::2] if quick else SUBSCRIPTIONS[1:]:
            command = [sys.executable, "-c", HOLD, str(server.port), str(count)]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            found.lines["client"].append((count, float(out)))
    return found


LOOP = """
import asyncio, json, sys, time
from virtufin.api.client import ApiClient
async def main():
    async with ApiClient("127.0.0.1", int(sys.argv[1]), wire="packaged") as client:
        await client.get_state_async("workmanager", "k")
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(500):
            await client.get_state_async("workmanager", "k")
        print(json.dumps([(time.perf_counter() - wall) / 500, (time.process_time() - cpu) / 500]))
if sys.argv[2] == "uvloop":
    import uvloop
    uvloop.run(main())
else:
    asyncio.run(main())
"""


async def rows(quick: bool) -> AsyncIterator[Row]:
    """Yields unary calls on uvloop against asyncio's own loop."""
    row = Row("event loops", "unary, one after the other", "asyncio", "uvloop")
    with canned() as server:
        for _ in range(2 if quick else 7):
            pair = []
            for loop in ("asyncio", "uvloop"):
                command = [sys.executable, "-c", LOOP, str(server.port), loop]
                out = await asyncio.to_thread(
                    subprocess.run, command, capture_output=True, text=True, check=True
                )
                pair.append(json.loads(out.stdout))
            row.wall.append((pair[0][0], pair[1][0]))
            row.cpu.append((pair[0][1], pair[1][1]))
    yield row
