"""Faults and resets from another process: one gRPC method that takes and returns JSON.

Served on a port of its own, so that it works whatever the faults do to the gateway's.
"""

from __future__ import annotations

import json
from typing import Any

import grpc
import grpc.aio

from virtufin.api.emulator import _ports
from virtufin.api.emulator._emulator import Emulator

SERVICE = "virtufin.emulator.Control"
METHOD = "Do"
PATH = f"/{SERVICE}/{METHOD}"
_HOST = "127.0.0.1"


class ControlServer:
    """Lets other processes of this machine do what `Emulator.faults` and `Emulator.reset` do.

    A request is `{"do": verb, ...arguments}`; the answer `{"result": ...}`, or
    `{"error": text, "kind": "ValueError"}`, or `"TypeError"`, for what would raise that here.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._server: grpc.aio.Server | None = None

    async def start(self, port: int) -> int:
        """Listens on loopback; 0 takes a free port. Returns the port.

        Raises:
            OSError: The port is taken.
        """
        server = grpc.aio.server(options=_ports.SERVER_OPTIONS)
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(self._do)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),)
        )
        bound = await _ports.listen(server, _HOST, port)
        await server.start()
        self._server = server
        return bound

    async def stop(self) -> None:
        """Stops listening."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def _do(self, request: bytes, context: Any) -> bytes:
        try:
            asked = json.loads(request)
            if not isinstance(asked, dict):
                raise TypeError(f"a request is a JSON object, got {asked!r}")
            answer = {"result": await self._carry_out(**asked)}
        except (ValueError, TypeError) as error:
            kind = "TypeError" if isinstance(error, TypeError) else "ValueError"
            answer = {"error": str(error), "kind": kind}
        return json.dumps(answer).encode()

    async def _carry_out(self, do: str, **arguments: Any) -> Any:
        faults = self._emulator.faults
        if do == "fail":
            return faults.fail(**arguments)
        if do == "cut_streams":
            return faults.cut_streams(**arguments)
        if do == "clear":
            return faults.clear()
        if do == "open_streams":
            return faults.open_streams
        if do == "reset":
            return await self._emulator.reset()
        raise ValueError(f"unknown verb {do!r}")
