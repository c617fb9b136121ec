"""The gRPC server of an app."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence

import grpc
from grpc import aio

from virtufin.api.client._environment import address

_OPTIONS = (
    # No limit, because the sidecar has the limit (`--max-body-size`).
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Off, because a second server would otherwise take the same port, and half of the calls,
    # without an error.
    ("grpc.so_reuseport", 0),
    # Any number of pings, because the sidecar decides how often to ping an idle connection.
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
)


class Server:
    """A gRPC server on one address, in the event loop that was running at its creation.

    Args:
        host: Address to listen on.
        port: Port to listen on. 0 takes a free port.
        handlers: The generic handlers of the served methods.
    """

    def __init__(self, host: str, port: int, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        self._server = aio.server(options=_OPTIONS)
        self._server.add_generic_rpc_handlers(tuple(handlers))
        self._host = host
        self._port = port

    async def start(self) -> int:
        """Opens the port and returns its number. A server cannot be started again.

        Raises:
            OSError: The port is taken, or the host is not an address of this machine.
        """
        # Both results are checked, because some grpcio versions raise and others return 0.
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
            # `wait` and not the task itself, because grpc's start breaks if it is cancelled, and
            # the server then goes on listening.
            await asyncio.wait((starting,))
        except asyncio.CancelledError:
            await asyncio.wait((starting,))
            await self._server.stop(None)
            raise
        starting.result()
        return port

    async def stop(self, grace: float) -> None:
        """Refuses new calls, waits for running calls, and closes the port.

        Args:
            grace: Seconds that running calls may take. Calls that take longer are cancelled.
        """
        await self._server.stop(grace)
