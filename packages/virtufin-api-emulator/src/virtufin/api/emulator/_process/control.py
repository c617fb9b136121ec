"""Faults and resets from another process: one gRPC method that takes and returns JSON.

Served on a port of its own, so that it works whatever the faults do to the gateway's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio

from virtufin.api.emulator import _ports
from virtufin.api.emulator._emulator import Emulator
from virtufin.api.emulator.faults import LocalPlan, Plan, Spec
from virtufin.api.emulator.network import Network

_REMEMBERED = 10_000


class NumberedPlans:
    """Gives plans numbers. Of those that are over it keeps what they have used, for a while."""

    def __init__(self, remembered: int = _REMEMBERED) -> None:
        self._remembered = remembered
        self._last = 0
        self._plans: dict[int, LocalPlan] = {}
        self._past: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._plans) + len(self._past)

    def add(self, plan: Plan) -> int:
        """The number of a plan that has just been made."""
        assert isinstance(plan, LocalPlan)
        self._forget()
        self._last += 1
        self._plans[self._last] = plan
        return self._last

    def used(self, plan: int) -> int:
        """What the plan has taken hold of.

        Raises:
            ValueError: There was no such plan, or it was over long ago.
        """
        if plan in self._plans:
            return self._plans[plan].used
        if plan not in self._past:
            raise self._unknown(plan)
        return self._past[plan]

    def lift(self, plan: int) -> None:
        """Lifts the plan.

        Raises:
            ValueError: There was no such plan.
        """
        if plan in self._plans:
            self._plans[plan].lift()
        elif not (isinstance(plan, int) and 0 < plan <= self._last):
            raise self._unknown(plan)

    def _forget(self) -> None:
        for number in [number for number, plan in self._plans.items() if plan.over]:
            self._past[number] = self._plans.pop(number).used
        for number in list(self._past)[: -self._remembered]:
            del self._past[number]

    def _unknown(self, number: int) -> ValueError:
        return ValueError(f"no plan {number!r}")


SERVICE = "virtufin.emulator.Control"
METHOD = "Do"
PATH = f"/{SERVICE}/{METHOD}"
_HOST = "127.0.0.1"


class ControlServer:
    """Lets other processes of this machine use `faults`, `network`, `reset` and `restart`.

    A request is `{"do": verb, ...arguments}`; the answer `{"result": ...}`, or
    `{"error": text, "kind": "ValueError"}` for what would raise that here. A plan's result is a
    number, for `used` and `lift`.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._server: grpc.aio.Server | None = None
        self._plans = NumberedPlans()

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
        except (ValueError, TypeError, RuntimeError, OSError) as error:
            kinds = (TypeError, ValueError, OSError, RuntimeError)
            kind = next(kind.__name__ for kind in kinds if isinstance(error, kind))
            answer = {"error": str(error), "kind": kind}
        return json.dumps(answer).encode()

    async def _carry_out(self, do: str, **arguments: Any) -> Any:
        emulator = self._emulator
        on_faults: dict[str, Callable[..., Any]] = {
            "add": lambda **spec: self._plans.add(emulator.faults.add(Spec(**spec))),
            "used": self._plans.used,
            "lift": self._plans.lift,
            "clear": emulator.faults.clear,
            "cut_streams": emulator.faults.cut_streams,
            "open_streams": lambda: emulator.faults.open_streams,
        }
        if do in on_faults:
            return on_faults[do](**arguments)
        if do == "reset":
            return await emulator.reset()
        if do == "restart":
            return await emulator.restart(**arguments)
        on_network: dict[str, Callable[[Network], Any]] = {
            "connections": lambda network: network.connections,
            "close_connections": lambda network: network.close_connections(),
            "reset_connections": lambda network: network.reset_connections(),
            "freeze_connections": lambda network: self._plans.add(
                network.freeze_connections(**arguments)
            ),
            "refuse_connections": lambda network: self._plans.add(network.refuse_connections()),
            "clear_network": lambda network: network.clear(),
        }
        if do in on_network:
            return on_network[do](emulator.network)
        raise ValueError(f"unknown verb {do!r}")
