"""The emulator in this process: makes its parts, opens and closes its ports, and restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack, ExitStack, suppress
from typing import Literal

import grpc.aio

from virtufin.api.client._environment import address
from virtufin.api.client._transport import drain_notifications
from virtufin.api.client._wire import Wire
from virtufin.api.emulator import _ports
from virtufin.api.emulator._backend_choice import choose_backend, import_plugin
from virtufin.api.emulator._faults import Injector, Relay
from virtufin.api.emulator._invocation import SAMPLES, Catalog, Registry, Service, require_services
from virtufin.api.emulator._samples.server import SampleServer
from virtufin.api.emulator._services import (
    INFRASTRUCTURE,
    AllServices,
    Behaviour,
    has_earlier_events,
)
from virtufin.api.emulator._settings import DaprSettings, InvocationPolicy
from virtufin.api.emulator._status_errors import StatusError
from virtufin.api.emulator._validation import (
    require_api_keys,
    require_bool,
    require_seconds,
    require_text,
    require_whole,
)
from virtufin.api.emulator._wires import WireName, choose_wire
from virtufin.api.emulator.faults import Faults
from virtufin.api.emulator.network import Network

# 4 MiB, because that is the default of gRPC.
DEFAULT_MAX_MESSAGE_BYTES = 4 * 1024 * 1024
DEFAULT_GRACE = 0.5  # in seconds
# Behind a relay the server needs only loopback, because clients connect to the relay's host.
_DIRECT_HOST = "127.0.0.1"
# A placeholder, because the server has no port before its start. The relay listens only after it
# has been given the real target.
_UNKNOWN_YET = f"{_DIRECT_HOST}:1"


class Emulator:
    """An emulated Virtufin.Api gateway in this process, in the running event loop.

    State and events are in memory, or on a Dapr sidecar. State survives `stop` and `start`; `reset`
    deletes the state. Stop the emulator, or use it as an async context manager.

    Example:
        >>> import asyncio
        >>> from virtufin.api.emulator import Emulator
        >>> async def main() -> str:
        ...     async with Emulator(api_keys=["secret"]) as gateway:
        ...         return gateway.host
        >>> asyncio.run(main())
        '127.0.0.1'
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        api_keys: Iterable[str] = (),
        services: Iterable[Service] | None = None,
        accept_any_service: bool = False,
        json_names: Literal["camel", "proto"] = "camel",
        hold_headers: bool = False,
        legacy_state: bool = True,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
        max_concurrent_streams: int | None = None,
        invocation: InvocationPolicy | None = None,
        relay: bool = False,
        dapr: DaprSettings | None = None,
        dapr_port: int | None = None,
        wire: WireName | Wire = "current",
        heartbeat: float | None = None,
        reflection: bool = True,
    ) -> None:
        """Does no I/O and needs no running event loop.

        Args:
            host: Address or host name of this machine to listen on.
            port: TCP port. 0 takes a free port at the first start and keeps that port afterwards.
            api_keys: Accepted keys. A call must carry one of these keys as `x-api-key`. If empty,
                calls need no key.
            services: The backends: the services that clients call through the gateway. None means
                the two bundled sample backends (`SAMPLES`).
            accept_any_service: True to accept state of services that are not registered.
            json_names: Field names of JSON replies: `camel` (as documented), or `proto`.
            hold_headers: True to send the response headers of a subscription only with its first
                event, as some servers do. If False, they are sent at once.
            legacy_state: False to answer UNIMPLEMENTED to RegisterKeys and GetAllState, as newer
                gateways do.
            max_message_bytes: Size of the largest accepted message in bytes, at least 1.
            max_concurrent_streams: Largest number of concurrent calls per connection, at least 1.
                Further calls of a connection wait. None means no limit. Kestrel's default is 100.
            invocation: Limits and retries of calls to backends. None means the defaults.
            relay: True to put a relay before the gateway: a TCP server that passes on the data of
                clients. The faults of `network` need a relay.
            dapr: Dapr sidecar that keeps the state, carries events, and passes calls on to backends
                named by app-id. None means that state and events are in memory. Needs
                `virtufin-api-emulator[dapr]`.
            dapr_port: Port of a stand-in for a Dapr sidecar: a server with Dapr's publishing
                methods, through which a `DaprPublisher` reaches the subscribers; see
                `dapr_address`. 0 takes a free port. None means no stand-in. Not together with
                `dapr`. Needs `virtufin-api-emulator[dapr]`.
            wire: Message layout of the gateway: its methods, and the fields of their messages.
                `current`: as in the installed protos. `moved-numbers`: the same, but every field
                number in the proto package `virtufin` is one higher. `earlier`: events are payload,
                text metadata, id and time instead of CloudEvents, and Gateway.Subscribe filters by
                service and type. A `Wire`: methods that it lacks are UNIMPLEMENTED.
            heartbeat: Seconds without an event after which a stream sends an event without data,
                id and type, as earlier gateways do. Above 0, and only with the layout `earlier`.
                None means never.
            reflection: False to answer UNIMPLEMENTED to server reflection.

        Raises:
            ValueError: An argument is out of its range.
            TypeError: An argument has the wrong type.
            ImportError: `dapr` or `dapr_port` needs a distribution that is not installed. The text
                names it.
        """
        if require_text(json_names, "json_names") not in ("camel", "proto"):
            raise ValueError(f"json_names is 'camel' or 'proto', got {json_names!r}")
        if not isinstance(invocation, (InvocationPolicy, type(None))):
            raise TypeError(f"invocation is an InvocationPolicy or None, got {invocation!r}")
        wire = choose_wire(wire)
        if heartbeat is not None:
            require_seconds(heartbeat, "heartbeat")
            if not has_earlier_events(wire):
                raise ValueError("heartbeat needs wire='earlier': other gateways send none")
        require_whole(max_message_bytes, "max_message_bytes", 1)
        if max_concurrent_streams is not None:
            require_whole(max_concurrent_streams, "max_concurrent_streams", 1)
        self._host = require_text(host, "host")
        self._port = require_whole(port, "port", 0, 65535)
        self._relay = (
            Relay(_UNKNOWN_YET, host=host, port=port) if require_bool(relay, "relay") else None
        )
        self._direct_port = 0
        policy = invocation or InvocationPolicy()
        self._registry = Registry(require_services(SAMPLES if services is None else services))
        self._backend, route = choose_backend(dapr, self._registry)
        self._samples = [
            SampleServer(service, self._backend.publish)
            for service in self._registry
            if service.sample
        ]
        self._catalog = Catalog(self._registry, policy, max_message_bytes, route)
        stand_in = None
        if dapr_port is not None:
            require_whole(dapr_port, "dapr_port", 0, 65535)
            if dapr is not None:
                raise ValueError(
                    "dapr_port is for a gateway in memory: with dapr there is a sidecar"
                )
            stand_in = import_plugin("_sidecar.stand_in")
        beside = (*INFRASTRUCTURE, *(stand_in.METHODS if stand_in else ()))
        self._faults = Injector((wire[name].full_name for name in wire), infrastructure=beside)
        self._stand_in = stand_in and stand_in.StandIn(
            host,
            dapr_port,
            publish=self._backend.publish,
            pubsub_names={service.pubsub_name for service in self._registry} or {"pubsub"},
            faults=self._faults,
            max_message_bytes=max_message_bytes,
        )
        behaviour = Behaviour(
            api_keys=require_api_keys(api_keys),
            accept_any_service=require_bool(accept_any_service, "accept_any_service"),
            proto_names=json_names == "proto",
            hold_headers=require_bool(hold_headers, "hold_headers"),
            legacy_state=require_bool(legacy_state, "legacy_state"),
            heartbeat=heartbeat,
            reflection=require_bool(reflection, "reflection"),
            max_message_bytes=max_message_bytes,
            max_concurrent_streams=max_concurrent_streams,
        )
        self._servicers = AllServices(
            wire, self._backend, self._registry, self._catalog, self._faults, policy, behaviour
        )
        self._changing = asyncio.Lock()
        self._restarting = asyncio.Lock()
        self._pending_restarts: set[asyncio.Event] = set()
        self._server: grpc.aio.Server | None = None
        self._running: AsyncExitStack | None = None

    @property
    def host(self) -> str:
        """The host that the gateway listens on."""
        return self._host

    @property
    def port(self) -> int:
        """The port of the gateway. 0 only before the first start with `port=0`."""
        return self._port

    @property
    def target(self) -> str:
        """The target for a gRPC channel, such as `127.0.0.1:5002`."""
        return _ports.to_reachable(self._host, self._port)

    @property
    def faults(self) -> Faults:
        """The object that causes faults of calls and streams."""
        return self._faults

    @property
    def network(self) -> Network:
        """The object that causes faults of connections.

        Raises:
            RuntimeError: The gateway has no relay.
        """
        if self._relay is None:
            raise RuntimeError("faults of the network need Emulator(relay=True)")
        return self._relay

    @property
    def direct_target(self) -> str:
        """The target behind the relay, not affected by faults of the network; else `target`."""
        if self._relay is None:
            return self.target
        return address(_DIRECT_HOST, self._direct_port)

    @property
    def has_stand_in(self) -> bool:
        """True if the emulator has a stand-in for a Dapr sidecar."""
        return self._stand_in is not None

    @property
    def dapr_address(self) -> str:
        """The address of the stand-in for a Dapr sidecar, for `DaprPublisher(address=)`.

        Raises:
            RuntimeError: The emulator has no stand-in.
        """
        if self._stand_in is None:
            raise RuntimeError("standing in for a Dapr sidecar needs Emulator(dapr_port=0)")
        return _ports.to_reachable(self._stand_in.host, self._stand_in.port)

    @property
    def services(self) -> tuple[Service, ...]:
        """The registered backends, in order of registration."""
        return tuple(self._registry)

    @property
    def running(self) -> bool:
        """True if the gateway serves calls. False between the stop and start of `restart`."""
        return self._running is not None

    async def start(self) -> None:
        """Opens the port and returns when calls are served. Does nothing if already running.

        Raises:
            OSError: The port is taken, or the host is not of this machine. The text says which.
        """
        async with self._changing:
            if self._running is not None:
                return
            # A stack, because a start that fails must also stop the parts that have started.
            async with AsyncExitStack() as stack:
                await self._backend.start()
                stack.push_async_callback(self._backend.stop)
                for sample in self._samples:
                    self._registry.locate(sample.name, await sample.start())
                    stack.push_async_callback(sample.stop)
                stack.push_async_callback(self._catalog.close)
                self._servicers.reset_for_start()
                server = await self._servicers.make_server()
                stack.push_async_callback(server.stop, None)
                if self._relay is None:
                    self._port = await _ports.listen(server, self._host, self._port)
                else:
                    self._direct_port = await _ports.listen(server, _DIRECT_HOST, self._direct_port)
                await server.start()
                if self._relay is not None:
                    self._relay.target = self.direct_target
                    stack.push_async_callback(self._relay.stop)
                    await self._relay.start()
                    self._port = self._relay.port
                if self._stand_in is not None:
                    await self._stand_in.start()
                    stack.push_async_callback(self._stand_in.stop)
                self._server = server
                self._running = stack.pop_all()

    async def stop(self, grace: float = DEFAULT_GRACE) -> None:
        """Ends the calls and closes the port. Does nothing if the gateway is not running.

        Subscriptions end at once with UNAVAILABLE. A `restart` in progress returns and leaves the
        gateway stopped.

        Args:
            grace: Seconds that other calls in progress may take before they are cancelled.
        """
        # A stop ends restarts in progress, because they would otherwise start the gateway again.
        for stopped in self._pending_restarts:
            stopped.set()
        await self._close(grace)

    async def restart(self, away: float = 0.0) -> None:
        """Stops the gateway, starts it on the same port, and returns when calls are served again.

        Subscriptions end with UNAVAILABLE. Other calls in progress are cancelled. State is kept.
        Between stop and start, connections are refused, and no other process can take the port. If
        the restart is cancelled, or ended by `stop`, the gateway stays stopped.

        Args:
            away: Seconds between stop and start, at least 0.

        Raises:
            ValueError: `away` is out of its range.
            TypeError: `away` is not a number.
            OSError: The port could not be opened again.
        """
        require_seconds(away, "away", zero=True)
        stopped = asyncio.Event()
        self._pending_restarts.add(stopped)
        try:
            # Restarts take turns, because a second one would find its port reserved by the first.
            async with self._restarting:
                if not stopped.is_set():
                    await self._close(grace=0.0)
                    await self._start_again(away, stopped)
        except OSError:
            # After a stop no failure, because a later start may have taken the port.
            if not stopped.is_set():
                raise
        finally:
            self._pending_restarts.discard(stopped)

    async def reset(self) -> None:
        """Deletes state and registered keys, lifts all plans, and resets the sample backends.

        Raises:
            ConnectionError: The Dapr sidecar did not delete the state. Everything else is reset.
                The next reset deletes the rest of the state.
        """
        self._faults.clear()
        if self._relay is not None:
            self._relay.clear()
        self._servicers.reset()
        for sample in self._samples:
            sample.reset()
        try:
            await self._backend.reset()
        except StatusError as error:
            raise ConnectionError(error.details) from error

    async def __aenter__(self) -> Emulator:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def __repr__(self) -> str:
        state = "running" if self.running else "stopped"
        return f"<Emulator {address(self._host, self._port)}, {state}>"

    async def _close(self, grace: float) -> None:
        async with self._changing:
            if self._running is None or self._server is None:
                return
            server, stack = self._server, self._running
            self._server = self._running = None
            async with stack:
                if self._relay is not None:
                    self._relay.stop_listening()
                # Before the server stops, because open subscriptions would use up the grace time.
                self._backend.end_subscriptions()
                await server.stop(grace)
            # Before grpcio 1.78 gRPC can hang at its end, because it waits for a thread that waits
            # for the event loop. This gives the loop the turns it needs.
            await drain_notifications()

    async def _start_again(self, away: float, stopped: asyncio.Event) -> None:
        ports = [(self._host, self._port)]
        if self._relay is not None:
            ports.append((_DIRECT_HOST, self._direct_port))
        if self._stand_in is not None:
            ports.append((self._stand_in.host, self._stand_in.port))
        # All ports are reserved while the gateway is stopped, so that no other process takes one.
        with ExitStack() as reserved:
            for host, port in ports:
                reserved.callback((await _ports.ReservedPort.take(host, port)).close)
            # The timeout is the normal case: no stop came while the gateway was away.
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stopped.wait(), away)
            if not stopped.is_set():
                await self.start()
