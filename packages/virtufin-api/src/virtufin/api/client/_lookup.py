"""Which wire the gateway speaks: asked at the first call, and again on another connection.

Calls that come meanwhile wait for the same answer. Where the gateway has none to give, the wire
known last stays in use, the packaged one at first; where it cannot be reached, the call fails as it
would have anyway, so that nothing is sent in a layout that may be another gateway's.
"""

from __future__ import annotations

import asyncio
import logging
import time

import grpc

from virtufin.api.client._connections import is_connected, is_connecting
from virtufin.api.client._deadline import Budget
from virtufin.api.client._failures import from_status
from virtufin.api.client._method import Method
from virtufin.api.client._pause import Pause
from virtufin.api.client._reflection import (
    ReflectionUnavailableError,
    ReflectionUnsupportedError,
    build_pool,
)
from virtufin.api.client._reflector import Reflector
from virtufin.api.client._statuses import unreachable
from virtufin.api.client._transport import Transport, Way
from virtufin.api.client._wire import Wire

logger = logging.getLogger("virtufin.api.client.wire")

_GLANCE = 0.005


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
        self._pause = Pause()
        self._task: asyncio.Task[ReflectionUnavailableError | None] | None = None

    @property
    def settled(self) -> bool:
        """Whether nothing is to be asked now."""
        if self._connection != self._transport.connections.count:
            return False
        return self.failure is None or not self._pause.over

    async def resolve(self, method: Method, budget: Budget, way: Way) -> Method:
        """The method as this gateway has it; waits for the answer.

        Raises:
            DeadlineExceededError: The budget ended first.
            UnavailableError: The gateway cannot be reached.
        """
        name = self._names.get(method.full_name)
        if name is None:
            return method
        await self.settle(budget, way)
        return self.wire[name]

    async def settle(self, budget: Budget, way: Way) -> None:
        """Waits until it is known, within the budget; raises as `resolve` does."""
        # A call that begins too late is not sent, whatever is known.
        while not self.settled and budget.left() != 0.0:
            own = self._task is None or self._task.done()
            if own:
                self._task = self._transport.spawn(self._ask(way), "virtufin-wire")
            assert self._task is not None
            unreached = await self._answered(self._task, budget)
            if unreached is None:
                if self._connection == self._transport.connections.count:
                    return
                continue  # The connection is another one by now.
            # Who asked may have gone over another connection than this call. As any call, it waits
            # as long as it takes to connect.
            connected, connecting = is_connected(way.channel), is_connecting(way.channel)
            timed_out = unreached.code is grpc.StatusCode.DEADLINE_EXCEEDED
            if (own or not connected) and not (timed_out and connecting):
                raise unreachable(unreached.details, peer=self._transport.peer)

    async def _answered(
        self, task: asyncio.Task[ReflectionUnavailableError | None], budget: Budget
    ) -> ReflectionUnavailableError | None:
        await asyncio.wait((task,), timeout=budget.left())
        self._transport.check()
        if not task.done():
            raise from_status(
                grpc.StatusCode.DEADLINE_EXCEEDED,
                "the gateway's reflection, which tells how its messages are laid out, had not "
                f"answered when the time was up ({budget.total:.3g} s), so nothing was sent; give "
                "more time, or wire='packaged' to leave it out",
                details="deadline exceeded before the call was sent",
                peer=self._transport.peer,
            )
        return None if task.cancelled() else task.result()

    async def _ask(self, way: Way) -> ReflectionUnavailableError | None:
        """Learns the wire; returns why where the gateway could not be reached."""
        connection = self._transport.connections.count
        try:
            wire = await self._described(way)
        except Exception as error:  # noqa: BLE001 - whatever it tells, calls go on
            told = self._transport.secrets.redact(str(error) or repr(error))
            logger.debug("the gateway's own descriptors could not be had: %s", told)
            if isinstance(error, ReflectionUnavailableError) and _is_away(error, way):
                return error
            self._failed(error, told)
        else:
            if wire.origin != "packaged" and wire.differences != self.wire.differences:
                logger.info("the gateway speaks another wire than the packaged protos: %s", wire)
            self.wire = wire
            self.failure = None
            self._pause.reset()
        self._connection = connection
        return None

    async def _described(self, way: Way) -> Wire:
        await self._connected(way)
        try:
            files = await self._reflector.own_files(self._services, way)
        except ReflectionUnavailableError as error:
            # Once more, if there is a connection by now: then it is the gateway that says so.
            if error.code is not grpc.StatusCode.UNAVAILABLE or not is_connected(way.channel):
                raise
            files = await self._reflector.own_files(self._services, way)
        return await asyncio.to_thread(lambda: self._packaged.described_by(build_pool(files)))

    async def _connected(self, way: Way) -> None:
        """Waits for the connection, so that it takes none of the time that an answer may take."""
        until = time.monotonic() + self._reflector.timeout
        while is_connecting(way.channel, begin=True):
            if time.monotonic() > until:
                code = grpc.StatusCode.DEADLINE_EXCEEDED
                raise ReflectionUnavailableError(code, "still connecting")
            await asyncio.sleep(_GLANCE)

    def _failed(self, error: Exception, told: str) -> None:
        if isinstance(error, ReflectionUnsupportedError):
            self.wire = self._packaged
            self._pause.never()
        elif self._reflector.failure is not None:
            self._pause.never()
        else:
            self._pause.longer()
        # Frames of a traceback would hold grpc's call, and with it the channel.
        error.__context__ = error.__cause__ = None
        self.failure = error.with_traceback(None)
        self.wire = self.wire.because(f"the gateway's own descriptors could not be had: {told}")


def _is_away(error: ReflectionUnavailableError, way: Way) -> bool:
    """Whether it was no answer of the gateway, which is not there, or not yet."""
    if error.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return is_connecting(way.channel)
    return error.code is grpc.StatusCode.UNAVAILABLE and not is_connected(way.channel)
