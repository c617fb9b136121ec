"""Which wire the gateway speaks: asked at the first call, and again on another connection.

Calls that come meanwhile wait for the same answer, no longer than half of the time they have. Where
there is none, the wire that was known last stays in use: a gateway without reflection is no error.
"""

from __future__ import annotations

import asyncio
import logging

import grpc

from virtufin.api.client._deadline import Budget
from virtufin.api.client._method import Method
from virtufin.api.client._reflection import ReflectionUnavailableError, build_pool
from virtufin.api.client._reflector import Reflector
from virtufin.api.client._transport import Transport, Way
from virtufin.api.client._wire import Wire

logger = logging.getLogger("virtufin.api.client.wire")

_ASKED_AGAIN = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
    }
)
"""After these the gateway was not there, or did not know the caller: the next call asks again."""


class WireLookup:
    """The wire of one client's gateway."""

    def __init__(self, transport: Transport, reflector: Reflector, packaged: Wire) -> None:
        self._transport = transport
        self._reflector = reflector
        self._packaged = packaged
        self.wire = packaged
        """The wire in use."""
        self.failure: Exception | None = None
        """Why the gateway's own descriptors could not be had when it was asked last."""
        self._names = {packaged[name].full_name: name for name in packaged}
        self._services = tuple(dict.fromkeys(packaged[name].service for name in packaged))
        self._connection: int | None = None
        self._task: asyncio.Task[None] | None = None

    async def resolve(self, method: Method, budget: Budget, way: Way) -> Method:
        """The method as this gateway has it; waits for the answer, within the budget."""
        name = self._names.get(method.full_name)
        if name is None:
            return method
        if self._connection != self._transport.connections.count:
            if self._task is None or self._task.done():
                self._task = self._transport.spawn(self._ask(way), "virtufin-wire")
            await asyncio.wait((self._task,), timeout=budget.at_most(self._reflector.timeout, 0.5))
        return self.wire[name]

    async def _ask(self, way: Way) -> None:
        connection = self._transport.connections.count
        try:
            files = await self._reflector.files(*self._services, way=way, skip_missing=True)
            wire = self._packaged.described_by(build_pool(files))
        except Exception as error:  # noqa: BLE001 - whatever it tells, calls go on
            told = self._transport.secrets.redact(str(error) or repr(error))
            reason = f"the gateway's own descriptors could not be had: {told}"
            self.wire = self.wire.because(reason)
            self.failure = error
            logger.debug("%s", reason)
            gone = isinstance(error, ReflectionUnavailableError) and error.code in _ASKED_AGAIN
            if gone and self._reflector.failure is None:
                return
        else:
            if wire.origin != "packaged" and wire.differences != self.wire.differences:
                logger.info("the gateway speaks another wire than the packaged protos: %s", wire)
            self.wire = wire
            self.failure = None
        self._connection = connection
