"""Everything that may happen to a stream: the faults that cause it, and the expected result."""

import asyncio
from dataclasses import dataclass
from typing import Any

import grpc

from tests.codes import FATAL
from tests.timing import UNIT


@dataclass(frozen=True)
class Fault:
    """A column of the grid."""

    name: str
    strike: Any
    """Coroutine function of the gateway and whether a stream is open; returns what ends it."""
    fatal: bool = False
    """True if the subscription must fail for good."""
    unnoticed: bool = False
    """True if neither side can notice the fault."""


async def cut(gateway, stream_is_open):
    gateway.network.close_connections()


async def reset(gateway, stream_is_open):
    gateway.network.reset_connections()


async def half_open(gateway, stream_is_open):
    return gateway.network.freeze_connections()


async def black_hole(gateway, stream_is_open):
    with gateway.network.freeze_connections(new=True):
        # Longer than keepalive takes to notice: a connection that comes back before has no gap.
        await asyncio.sleep(3.5 * UNIT)


async def stall(gateway, stream_is_open):
    return gateway.faults.stall()


async def long_restart(gateway, stream_is_open):
    await gateway.restart(away=3 * UNIT)


async def slow_start(gateway, stream_is_open):
    frozen = gateway.network.freeze_connections(new=True)
    await gateway.restart(away=0.2 * UNIT)
    await asyncio.sleep(0.8 * UNIT)
    frozen.lift()


def end_with(code):
    async def end(gateway, stream_is_open):
        if stream_is_open:
            assert gateway.faults.cut_streams(code) == 1
        elif code is grpc.StatusCode.OK:
            # Without headers, so that the stream is not live before it ends.
            gateway.faults.hold_headers()
            gateway.faults.cut_after(0, code)
        else:
            gateway.faults.fail("Pubsub/Subscribe", code)

    return end


FAULTS = [
    Fault("cut", cut),
    Fault("rst", reset),
    Fault("half-open", half_open),
    Fault("black hole", black_hole),
    Fault("clean end", end_with(grpc.StatusCode.OK)),
    Fault("stall", stall, unnoticed=True),
    Fault("long restart", long_restart),
    Fault("slow start", slow_start),
    *(
        Fault(code.name, end_with(code), fatal=code in FATAL)
        for code in grpc.StatusCode
        if code is not grpc.StatusCode.OK
    ),
]
