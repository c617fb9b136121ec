"""The control service, in the process of the emulator: other processes cause faults through it.

The service has one gRPC method, which takes and returns JSON. It has a port of its own, so that
faults of the gateway do not affect it. `control_client` is the other side.
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

# A limit, because a test that runs for hours would otherwise make the service grow without bound.
_REMEMBERED = 10_000


class PlanRegistry:
    """The fault plans of the other processes, by number.

    Of plans that are over, the registry remembers only the number of their uses, and only for the
    most recent of these plans.

    Args:
        remembered: Number of plans that are over to remember.
    """

    def __init__(self, remembered: int = _REMEMBERED) -> None:
        self._remembered = remembered
        self._last = 0
        self._plans: dict[int, LocalPlan] = {}
        self._past: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._plans) + len(self._past)

    def add(self, plan: Plan) -> int:
        """Adds a new plan and returns its number."""
        assert isinstance(plan, LocalPlan)
        self._forget_ended()
        self._last += 1
        self._plans[self._last] = plan
        return self._last

    def used(self, plan: int) -> int:
        """Returns the number of calls, streams or connections that a plan was applied to.

        Args:
            plan: Number of the plan.

        Raises:
            ValueError: No plan had that number, or the plan is not remembered any more.
        """
        if plan in self._plans:
            return self._plans[plan].used
        if plan not in self._past:
            raise self._make_unknown_error(plan)
        return self._past[plan]

    def lift(self, plan: int) -> None:
        """Lifts a plan. Does nothing if the plan is over.

        Args:
            plan: Number of the plan.

        Raises:
            ValueError: No plan had that number.
        """
        if plan in self._plans:
            self._plans[plan].lift()
        elif not (isinstance(plan, int) and 0 < plan <= self._last):
            raise self._make_unknown_error(plan)

    def _forget_ended(self) -> None:
        for number in [number for number, plan in self._plans.items() if plan.over]:
            self._past[number] = self._plans.pop(number).used
        for number in list(self._past)[: -self._remembered]:
            del self._past[number]

    def _make_unknown_error(self, number: int) -> ValueError:
        return ValueError(f"no plan {number!r}")


SERVICE = "virtufin.emulator.Control"
METHOD = "Do"
PATH = f"/{SERVICE}/{METHOD}"
# Loopback, because only processes of this machine may use the service.
_HOST = "127.0.0.1"


class ControlServer:
    """The server of the control service, on loopback.

    A request is `{"do": verb, ...arguments}`, where the verb is the name of a method of `Faults`,
    `Network` or `Emulator`. The answer is `{"result": ...}`, or `{"error": text, "kind":
    "ValueError"}` if the method raised that error. The result for a new plan is its number, which
    is the argument of the verbs `used` and `lift`.

    Args:
        emulator: The emulator to drive.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._server: grpc.aio.Server | None = None
        self._plans = PlanRegistry()

    async def start(self, port: int) -> int:
        """Opens a port on loopback and returns its number.

        Args:
            port: TCP port. 0 takes a free port.

        Raises:
            OSError: The port is taken.
        """
        server = grpc.aio.server(options=_ports.SERVER_OPTIONS)
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(
            self._handle
        )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),)
        )
        bound = await _ports.listen(server, _HOST, port)
        await server.start()
        self._server = server
        return bound

    async def stop(self) -> None:
        """Closes the port. Does nothing if the server is not running."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def _handle(self, request: bytes, context: Any) -> bytes:
        try:
            document = json.loads(request)
            if not isinstance(document, dict):
                raise TypeError(f"a request is a JSON object, got {document!r}")
            answer = {"result": await self._carry_out(**document)}
        except (ValueError, TypeError, RuntimeError, OSError) as error:
            # Sent as a base class, because the other process may not know the class of the error.
            kinds = (TypeError, ValueError, OSError, RuntimeError)
            kind = next(kind.__name__ for kind in kinds if isinstance(error, kind))
            answer = {"error": str(error), "kind": kind}
        return json.dumps(answer).encode()

    async def _carry_out(self, do: str, **arguments: Any) -> Any:
        emulator = self._emulator
        on_faults: dict[str, Callable[..., Any]] = {
            # `Spec` checks the values again, because any process on this machine can send requests.
            "add": lambda **spec: self._plans.add(emulator.faults.add(Spec(**spec))),
            "used": self._plans.used,
            "lift": self._plans.lift,
            "clear": emulator.faults.clear,
            "cut_streams": emulator.faults.cut_streams,
            "open_streams": lambda: emulator.faults.open_streams,
        }
        if do in on_faults:
            # Looked up first, because faults need no relay, and `emulator.network` raises without
            # one.
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
