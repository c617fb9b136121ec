"""The server of a sample backend."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import grpc.aio

from virtufin.api.client._environment import address
from virtufin.api.client._wire import Wire
from virtufin.api.emulator import _ports
from virtufin.api.emulator._invocation import Service
from virtufin.api.emulator._samples.websocketmanager import WebSocketManager
from virtufin.api.emulator._samples.workmanager import WorkManager
from virtufin.api.emulator._services import (
    make_handlers,
    make_json_event,
    make_reflection_handlers,
    make_server_descriptors,
)
from virtufin.api.emulator._wires import StaticSource, copy_files

_KINDS: dict[str, type[WorkManager] | type[WebSocketManager]] = {
    "workmanager": WorkManager,
    "websocketmanager": WebSocketManager,
}
# Loopback, because only the gateway in this process calls the samples.
_HOST = "127.0.0.1"


class SampleServer:
    """A sample backend and its gRPC server. The data of the backend survives a stop and start."""

    def __init__(self, service: Service, publish: Callable[[str, bytes], Awaitable[None]]) -> None:
        """Does no I/O.

        Args:
            service: Registration of the backend, whose address names the sample.
            publish: Function that publishes an event, called with topic and serialized CloudEvent.
                The backend reports with events what happens to its workers or connections.
        """
        self.name = service.name
        self._kind = _KINDS[service.sample]
        self._publish = publish
        self._servicer = self._kind(self._announce)
        self._server: grpc.aio.Server | None = None

    async def start(self) -> str:
        """Starts the server and returns its `host:port`, which differs at each start."""
        file = self._kind.FILE
        (service,) = file.services_by_name.values()
        # With reflection, because that is how the gateway finds the methods of a backend.
        own = make_server_descriptors(copy_files([file]), [service.full_name])
        self._server = grpc.aio.server(options=_ports.SERVER_OPTIONS)
        self._server.add_generic_rpc_handlers(
            (
                make_handlers(
                    Wire.from_files([file], origin="sample"), service.name, self._servicer
                ),
                *make_reflection_handlers(StaticSource(own)),
            )
        )
        # A new free port at each start. The registry gets the address after it.
        port = await _ports.listen(self._server, _HOST, 0)
        await self._server.start()
        return address(_HOST, port)

    async def stop(self) -> None:
        """Stops the server. Idempotent."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    def reset(self) -> None:
        """Resets the data of the backend to the data after its creation."""
        self._servicer.reset()

    async def _announce(self, subject: str, kind: str, data: dict[str, str]) -> None:
        source = self._kind.SOURCE
        event = make_json_event(source=source, kind=kind, subject=subject, data=data)
        await self._publish(f"{source}.lifecycle", event)
