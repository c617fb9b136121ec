"""Servers on the other side, each in a process of its own: the emulator, and a canned one.

The canned server sends bytes that were made before, so that it costs as little as a server of
grpc.aio can. It has no reflection.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc import aio

from virtufin.api.protos import cloudevents_pb2, gateway_pb2, pubsub_pb2, state_pb2

EVENTS = 10_000
"""The number of events that each stream of the canned server sends."""


@dataclass
class Server:
    """A server's port and process."""

    port: int
    pid: int

    def cpu(self) -> float:
        """Returns the processor time of the server so far, in seconds."""
        return cpu_of(self.pid)


def cpu_of(pid: int) -> float:
    """Returns the processor time of a process so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def started(command: list[str]) -> Iterator[Server]:
    """Starts a server that prints `listening on HOST:PORT`, and ends it."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith("listening on "):
                raise SystemExit(f"a server did not start: {line}")
            yield Server(int(line.rpartition(":")[2]), process.pid)
        finally:
            process.terminate()


def emulator(*options: str) -> contextlib.AbstractContextManager[Server]:
    """Starts an emulator."""
    return started([sys.executable, "-m", "virtufin.api.emulator", "--port", "0", *options])


def canned() -> contextlib.AbstractContextManager[Server]:
    """Starts the canned server."""
    return started([sys.executable, __file__])


def event(number: int) -> cloudevents_pb2.CloudEvent:
    """Returns an event of about 200 bytes."""
    made = cloudevents_pb2.CloudEvent(
        id=f"00000000-0000-0000-0000-{number:012d}",
        source="urn:com.virtufin.x",
        spec_version="1.0",
        type="com.virtufin.x.price",
        text_data='{"symbol":"ABC","price":1.5,"size":100}',
    )
    made.attributes["time"].ce_timestamp.FromSeconds(1_700_000_000)
    made.attributes["datacontenttype"].ce_string = "application/json"
    made.attributes["scenarioid"].ce_string = "s1"
    return made


class Canned:
    """The handlers of the canned server."""

    def __init__(self) -> None:
        state = state_pb2.GetStateResponse(key="k", value="v", etag="1")
        reply = gateway_pb2.InvokeJsonResponse(response_data='{"workers":[{"name":"w"}]}')
        self._state = state.SerializeToString()
        self._reply = reply.SerializeToString()
        self._published = pubsub_pb2.PublishResponse()
        self._published.status.success = True
        self._items = [
            pubsub_pb2.SubscribeResponse(topic="t", cloudevent=event(n)).SerializeToString()
            for n in range(1000)
        ]
        self._subscribers: dict[str, asyncio.Queue[bytes]] = {}

    def handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        """Returns the handlers of the services."""

        async def get_state(_request: bytes, _context: object) -> bytes:
            return self._state

        async def invoke(_request: bytes, _context: object) -> bytes:
            return self._reply

        unary = grpc.unary_unary_rpc_method_handler
        stream = grpc.unary_stream_rpc_method_handler
        pubsub = {"Subscribe": stream(self._subscribe), "PublishEvent": unary(self._publish)}
        return tuple(
            grpc.method_handlers_generic_handler(f"virtufin.{service}", methods)
            for service, methods in (
                ("State", {"GetState": unary(get_state)}),
                ("Gateway", {"InvokeJson": unary(invoke)}),
                ("Pubsub", pubsub),
            )
        )

    async def _subscribe(self, request: bytes, context: aio.ServicerContext):
        topics = pubsub_pb2.SubscribeRequest.FromString(request).topics
        await context.send_initial_metadata(())
        if topics[0].startswith("replies"):
            queue = self._subscribers[topics[0]] = asyncio.Queue()
            while True:
                yield await queue.get()
        for number in range(EVENTS):
            yield self._items[number % len(self._items)]
        await asyncio.sleep(3600)

    async def _publish(self, request: bytes, _context: object) -> bytes:
        """Answers each request at once, with an event that has its correlation id."""
        sent = pubsub_pb2.PublishRequest.FromString(request).cloudevent
        if "correlationid" in sent.attributes:
            reply = event(0)
            correlation = sent.attributes["correlationid"].ce_string
            reply.attributes["correlationid"].ce_string = correlation
            topic = sent.attributes["replytopic"].ce_string
            item = pubsub_pb2.SubscribeResponse(topic=topic, cloudevent=reply)
            self._subscribers[topic].put_nowait(item.SerializeToString())
        return self._published.SerializeToString()


async def serve() -> None:
    """Serves until the process ends."""
    server = aio.server()
    server.add_generic_rpc_handlers(Canned().handlers())
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"listening on 127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve())
