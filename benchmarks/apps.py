"""A `DaprApp` that receives events, against `dapr.ext.grpc.App`; each in a process of its own."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

from dapr.proto.runtime.v1 import appcallback_pb2, appcallback_pb2_grpc
from google.protobuf import empty_pb2
from grpc import aio
from pairs import Bound, Row, compare, in_flight
from servers import Server

OURS = """
import asyncio, sys
from virtufin.api.dapr import DaprApp
app = DaprApp(pubsub_name="pubsub", port=int(sys.argv[1]), max_concurrency=1000)
@app.subscribe("fast")
async def fast(event): event.data
@app.subscribe("slow")
async def slow(event): await asyncio.sleep(0.01)
asyncio.run(app.serve())
"""
DAPR = """
import sys, time
from dapr.ext.grpc import App
app = App()
@app.subscribe(pubsub_name="pubsub", topic="fast")
def fast(event): event.Data()
@app.subscribe(pubsub_name="pubsub", topic="slow")
def slow(event): time.sleep(0.01)
app.run(int(sys.argv[1]))
"""


@contextlib.contextmanager
def app(code: str) -> Iterator[Server]:
    """Starts an app on a free port."""
    # Closed before the app starts, because dapr's takes no port that is bound already.
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-c", code, str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield Server(port, process.pid)
        finally:
            process.kill()


async def rows(quick: bool) -> AsyncIterator[Row]:
    """Yields each row when it is measured."""
    rounds = 3 if quick else 9
    rate_of_ours: dict[str, float] = {}
    with app(DAPR) as dapr, app(OURS) as own:

        def used(side: int) -> float:
            return (dapr, own)[side].cpu()

        async with (
            aio.insecure_channel(f"127.0.0.1:{dapr.port}") as to_dapr,
            aio.insecure_channel(f"127.0.0.1:{own.port}") as to_own,
        ):
            stubs = [appcallback_pb2_grpc.AppCallbackStub(channel) for channel in (to_dapr, to_own)]
            for stub in stubs:
                await stub.ListTopicSubscriptions(empty_pb2.Empty(), wait_for_ready=True)

            def deliver(stub: appcallback_pb2_grpc.AppCallbackStub, topic: str):
                request = appcallback_pb2.TopicEventRequest(
                    id="1",
                    source="s",
                    type="t",
                    spec_version="1.0",
                    data_content_type="application/json",
                    data=b'{"a":1}',
                    topic=topic,
                    pubsub_name="pubsub",
                    path=topic,
                )

                async def call() -> None:
                    await stub.OnTopicEvent(request)

                return call

            for topic, what, tasks, total, bounds in (
                (
                    "fast",
                    "trivial handler, 64 in flight",
                    64,
                    3200,
                    [Bound("rate", at_least=1.3), Bound("cpu", at_most=0.9)],
                ),
                ("slow", "10 ms handler, 200 in flight", 200, 1000, []),
            ):
                row = Row("DaprApp", what, "dapr.ext.grpc.App", "DaprApp", "event", bounds)
                runs = [in_flight(deliver(stub, topic), tasks, total) for stub in stubs]
                await compare(row, *runs, rounds=rounds, cpu=used)
                rate_of_ours[topic] = 1 / row.median("wall", 1)
                yield row
    # Ours only, with handlers that wait against handlers that do not.
    slow, fast = rate_of_ours["slow"], rate_of_ours["fast"]
    row = Row("DaprApp", "10 ms handlers against trivial ones", "DaprApp", "DaprApp", "event")
    row.bounds.append(Bound("rate", at_least=0.9))
    row.wall.append((1 / fast, 1 / slow))
    row.cpu.append((1.0, 1.0))
    yield row
