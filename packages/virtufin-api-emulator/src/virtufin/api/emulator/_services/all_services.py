"""All services of the gateway, put together for a gRPC server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc.aio

from virtufin.api.client._protobuf import V1, V1ALPHA
from virtufin.api.client._wire import Wire
from virtufin.api.emulator import _ports
from virtufin.api.emulator._backends import Backend
from virtufin.api.emulator._faults import FaultInterceptor, Injector
from virtufin.api.emulator._invocation import Catalog, Invoker, Registry
from virtufin.api.emulator._settings import InvocationPolicy
from virtufin.api.emulator._wires import PUBLISH, SUBSCRIBE

from . import health
from .auth import AuthInterceptor
from .config import ConfigServicer
from .descriptors import AggregatedSource, make_own_descriptors
from .event_layouts import choose_layout
from .gateway import GatewayServicer
from .handlers import make_handlers
from .pubsub import GATEWAY_SUBSCRIBE, GatewayEventsServicer, PubsubServicer
from .reflection import make_reflection_handlers
from .state import LEGACY_METHODS, LegacyStateServicer, StateServicer
from .stream_writer import StreamServer

INFRASTRUCTURE = (
    f"{health.SERVICE}/Check",
    f"{health.SERVICE}/Watch",
    f"{V1}/ServerReflectionInfo",
    f"{V1ALPHA}/ServerReflectionInfo",
)
"""Full names of the methods of health checks and reflection."""


@dataclass(frozen=True)
class Behaviour:
    """The settings of the services, with the meaning of the arguments of `Emulator`.

    `proto_names` is True for `json_names="proto"`.
    """

    api_keys: Sequence[str]
    accept_any_service: bool
    proto_names: bool
    hold_headers: bool
    legacy_state: bool
    heartbeat: float | None
    reflection: bool
    max_message_bytes: int
    max_concurrent_streams: int | None


class AllServices:
    """The services of one gateway. They live as long as the emulator, over all of its restarts.

    Args:
        wire: Message layout of the gateway.
        backend: Store of state and events.
        registry: The registered backends.
        catalog: Catalog with the methods of the backends.
        faults: Fault plans for calls and streams.
        policy: Limits and retries of calls to backends.
        behaviour: Settings of the services.
    """

    def __init__(
        self,
        wire: Wire,
        backend: Backend,
        registry: Registry,
        catalog: Catalog,
        faults: Injector,
        policy: InvocationPolicy,
        behaviour: Behaviour,
    ) -> None:
        # The methods are removed from the message layout and not only from the handlers, so that
        # reflection does not list them either.
        if not behaviour.legacy_state:
            methods = {name: wire[name] for name in wire if name not in LEGACY_METHODS}
            wire = Wire(methods, origin=wire.origin)
        self._wire = wire
        self._faults = faults
        self._behaviour = behaviour
        self._catalog = catalog
        self._invoker = Invoker(registry, catalog, policy)
        # Servicers that carry no events use the packaged messages. The handlers translate them, so
        # that these servicers need not know the served layout.
        packaged = Wire.packaged()
        self._state = (LegacyStateServicer if behaviour.legacy_state else StateServicer)(
            packaged,
            backend,
            (lambda _: True) if behaviour.accept_any_service else registry.__contains__,
        )
        gateway = GatewayServicer(
            packaged, registry, catalog, self._invoker, proto_names=behaviour.proto_names
        )
        config = ConfigServicer(packaged, registry)
        layout = choose_layout(wire)
        streams = StreamServer(
            backend,
            faults,
            hold_headers=behaviour.hold_headers,
            heartbeat=behaviour.heartbeat,
        )
        pubsub = PubsubServicer(layout, backend, faults, streams)
        self._handlers = [
            make_handlers(wire, "Gateway", gateway, written_for=packaged),
            make_handlers(wire, "State", self._state, written_for=packaged),
            make_handlers(wire, "Config", config, written_for=packaged),
            make_handlers(layout.wire, "Pubsub", pubsub),
            make_handlers(wire, "Gateway", GatewayEventsServicer(wire, streams)),
        ]
        if behaviour.reflection:
            source = AggregatedSource(make_own_descriptors(wire), registry, catalog)
            self._handlers += make_reflection_handlers(source)

    def reset_for_start(self) -> None:
        """Resets what a real gateway does not keep over a restart.

        These are the open circuits, and the keys of state that earlier gateways record.
        """
        self._invoker.reset()
        if isinstance(self._state, LegacyStateServicer):
            self._state.forget()

    def reset(self) -> None:
        """Resets the same as `reset_for_start`, and forgets the descriptors of the backends."""
        self.reset_for_start()
        self._catalog.forget()

    async def make_server(self) -> grpc.aio.Server:
        """Returns a new gRPC server with all services, without a port and not started."""
        behaviour = self._behaviour
        options: list[tuple[str, int]] = [
            *_ports.SERVER_OPTIONS,
            ("grpc.max_receive_message_length", behaviour.max_message_bytes),
            ("grpc.max_send_message_length", -1),
        ]
        if behaviour.max_concurrent_streams is not None:
            options.append(("grpc.max_concurrent_streams", behaviour.max_concurrent_streams))
        asking = (PUBLISH, SUBSCRIBE, GATEWAY_SUBSCRIBE)
        with_topic = [self._wire[name].full_name for name in asking if name in self._wire]
        interceptors: list[Any] = [FaultInterceptor(self._faults, with_topic=with_topic)]
        if behaviour.api_keys:
            # First, so that a call without a valid key does not use up a fault plan.
            interceptors.insert(0, AuthInterceptor(behaviour.api_keys))
        server = grpc.aio.server(interceptors=interceptors, options=options)
        server.add_generic_rpc_handlers(self._handlers)
        served = dict.fromkeys(self._wire[name].service for name in self._wire)
        await health.add_health(server, served)
        return server
