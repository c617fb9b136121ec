"""The app's own gRPC server."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence

import grpc
from grpc import aio

from virtufin.api.client._environment import address

_OPTIONS = (
    # The sidecar has the limit (`--max-body-size`).
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Without it a second server takes the same port, and half of the calls, without a word.
    ("grpc.so_reuseport", 0),
    # A sidecar may ping an idle connection as often as it likes.
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
)


class Server:
    """Listens at one address, in the event loop in which it was made."""

    def __init__(self, host: str, port: int, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        self._server = aio.server(options=_OPTIONS)
        self._server.add_generic_rpc_handlers(tuple(handlers))
        self._host = host
        self._port = port

    async def start(self) -> int:
        """Begins to listen; returns the port.

        Raises:
            OSError: The address is taken, or none of this machine.
        """
        try:
            port = self._server.add_insecure_port(address(self._host, self._port))
        except RuntimeError:
            port = 0
        if not port:
            await self._server.stop(None)
            raise OSError(
                errno.EADDRINUSE,
                f"cannot listen on {self._host} port {self._port}: is another app running there, "
                "or is it no address of this machine? (port=, APP_PORT, host=)",
            )
        starting = asyncio.ensure_future(self._server.start())
        try:
            # Beside it, as grpc breaks where its start is cancelled, and goes on listening.
            await asyncio.wait((starting,))
        except asyncio.CancelledError:
            await asyncio.wait((starting,))
            await self._server.stop(None)
            raise
        starting.result()
        return port

    async def stop(self, grace: float) -> None:
        """Takes no more calls; those that are running get `grace` seconds."""
        await self._server.stop(grace)
