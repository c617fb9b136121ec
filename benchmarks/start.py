"""The import of the client, and the time from a process's start to its first answer."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
from collections.abc import AsyncIterator

from pairs import Bound, Row, compare
from servers import emulator

PROTOS = "config_pb2, gateway_pb2, pubsub_pb2, state_pb2"
IMPORTS = {
    "peer": f"import grpc.aio\nfrom virtufin.api.protos import {PROTOS}\n"
    f"from virtufin.api.protos import {PROTOS.replace('_pb2', '_pb2_grpc')}",
    "ours": "import virtufin.api.client",
}
STUB = """
import asyncio, sys
from grpc import aio
from virtufin.api.protos import state_pb2, state_pb2_grpc
async def main():
    async with aio.insecure_channel("127.0.0.1:" + sys.argv[1]) as channel:
        request = state_pb2.GetStateRequest(service="workmanager", key="k")
        print((await state_pb2_grpc.StateStub(channel).GetState(request, timeout=5)).key)
asyncio.run(main())
"""
CLIENT = """
import asyncio, sys
from virtufin.api.client import ApiClient
async def main():
    async with ApiClient("127.0.0.1", int(sys.argv[1]), **{settings}) as client:
        print((await client.get_state_async("workmanager", "k"))["value"])
asyncio.run(main())
"""
# Bytecode is written in any case, because compiling would be most of the time.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


async def rows(quick: bool) -> AsyncIterator[Row]:
    """Yields each row when it is measured."""
    rounds = 7 if quick else 21

    def program(code: str, *arguments: str):
        async def run() -> int:
            command = [sys.executable, "-c", code, *arguments]
            process = await asyncio.create_subprocess_exec(
                *command, stdout=subprocess.DEVNULL, env=ENVIRONMENT
            )
            assert await process.wait() == 0
            return 1

        return run

    def cpu(_side: int) -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    nothing = program("pass")
    row = Row("start", "import", "grpc.aio and the protos", "client", "process")
    row.bounds.append(Bound("wall", at_most=1.25))
    await compare(row, program(IMPORTS["peer"]), program(IMPORTS["ours"]), rounds=rounds, cpu=cpu)
    # What an interpreter itself needs is no import.
    empty = Row("start", "", "", "", "process")
    await compare(empty, nothing, nothing, rounds=5, cpu=cpu)
    for name in ("wall", "cpu"):
        own = empty.median(name, 0)
        setattr(row, name, [(peer - own, ours - own) for peer, ours in getattr(row, name)])
    yield row
    with emulator() as server:
        for what, settings, bounds in (
            ("first answer", {}, [Bound("wall", at_most=1.2)]),
            ("first answer, wire='packaged'", {"wire": "packaged"}, []),
        ):
            row = Row("start", what, "bare stub", "client", "process", bounds)
            port = str(server.port)
            ours = program(CLIENT.format(settings=settings), port)
            yield await compare(row, program(STUB, port), ours, rounds=rounds, cpu=cpu)
