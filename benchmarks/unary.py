"""Unary calls, and calls to backends, against bare stubs on a canned server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from grpc import aio
from pairs import Bound, Row, compare, in_flight
from servers import canned, emulator

from virtufin.api.client import ApiClient
from virtufin.api.protos import gateway_pb2, gateway_pb2_grpc, state_pb2, state_pb2_grpc

AHEAD = Bound("cpu", at_most=1.06)


async def rows(quick: bool) -> AsyncIterator[Row]:
    """Yields each row when it is measured."""
    rounds = 5 if quick else 15
    with canned() as server:
        address = f"127.0.0.1:{server.port}"
        async with (
            ApiClient("127.0.0.1", server.port, wire="packaged") as client,
            aio.insecure_channel(address) as channel,
        ):
            stub = state_pb2_grpc.StateStub(channel)

            async def peer() -> None:
                request = state_pb2.GetStateRequest(service="workmanager", key="k")
                await stub.GetState(request, timeout=30)

            async def ours() -> None:
                await client.get_state_async("workmanager", "k")

            for tasks, total in ((1, 300), (64, 1280), (512, 2048)):
                what = "unary, one after the other" if tasks == 1 else f"unary, {tasks} in flight"
                bounds = [AHEAD, Bound("wall", at_most=1.02)] if tasks == 1 else [AHEAD]
                row = Row("unary", what, "bare stub", "client", bounds=bounds)
                began = server.cpu()
                runs = (in_flight(peer, tasks, total), in_flight(ours, tasks, total))
                await compare(row, *runs, rounds=rounds)
                row.note = server_share(server.cpu() - began, row, total)
                yield row
    async for row in backend_rows(rounds):
        yield row


def server_share(used: float, row: Row, count: int) -> str:
    """Says how busy the server was, to show that it was not the limit."""
    took = sum(sum(pair) for pair in row.wall) * count * (1 + 1 / len(row.wall))
    return f"server busy {used / took:.0%}"


async def backend_rows(rounds: int) -> AsyncIterator[Row]:
    """Yields calls to a backend; on the emulator, as complete replies need its reflection."""
    with emulator() as server:
        async with (
            ApiClient("127.0.0.1", server.port) as client,
            ApiClient("127.0.0.1", server.port, complete_replies=False) as plain,
            aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
        ):
            stub = gateway_pb2_grpc.GatewayStub(channel)

            async def peer() -> None:
                request = gateway_pb2.InvokeJsonRequest(
                    service="workmanager", method="ListWorkers", request_data="{}"
                )
                reply = await stub.InvokeJson(request, timeout=30)
                assert json.loads(reply.response_data)["workers"]

            def call(of: ApiClient):
                async def ours() -> None:
                    assert (await of.gateway.workmanager.ListWorkers())["workers"]

                return ours

            for what, of, most in (("complete reply", client, 1.15), ("as sent", plain, 1.06)):
                row = Row(
                    "backend calls",
                    f"backend call, {what}",
                    "bare stub and json",
                    "client",
                    bounds=[Bound("cpu", at_most=most)],
                )
                runs = (in_flight(peer, 1, 200), in_flight(call(of), 1, 200))
                yield await compare(row, *runs, rounds=rounds)
