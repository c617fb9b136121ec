"""Which wire the gateway speaks: asked at the first call, and again on another connection.

Calls that come meanwhile wait for the same answer. Where the gateway has none to give, the packaged
protos are taken for its own; where it cannot be reached, the call fails as it would have anyway, so
that nothing is ever sent in a layout that may be another one's.
"""

from __future__ import annotations

import asyncio
import logging

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
        self._unreached: ReflectionUnavailableError | None = None
        self._names = {packaged[name].full_name: name for name in packaged}
        self._services = tuple(dict.fromkeys(packaged[name].service for name in packaged))
        self._connection: int | None = None
        self._pause = Pause()
        self._task: asyncio.Task[None] | None = None

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
        if self.settled or budget.left() == 0.0:
            return  # A call that begins too late is not sent, whatever is known.
        if self._task is None or self._task.done():
            self._task = self._transport.spawn(self._ask(way), "virtufin-wire")
        task = self._task
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
        if self._unreached is not None:
            raise unreachable(self._unreached.details, peer=self._transport.peer)

    async def _ask(self, way: Way) -> None:
        connection = self._transport.connections.count
        self._unreached = None
        try:
            wire = await self._described(way)
        except Exception as error:  # noqa: BLE001 - whatever it tells, calls go on
            self._failed(error, way)
        else:
            if wire.origin != "packaged" and wire.differences != self.wire.differences:
                logger.info("the gateway speaks another wire than the packaged protos: %s", wire)
            self.wire = wire
            self.failure = None
            self._pause.reset()
        if self._unreached is None:
            self._connection = connection

    async def _described(self, way: Way) -> Wire:
        asked_again = False
        while True:
            try:
                files = await self._reflector.own_files(self._services, way)
                break
            except ReflectionUnavailableError as error:
                connected = is_connected(way.channel)
                if error.code is grpc.StatusCode.DEADLINE_EXCEEDED and is_connecting(way.channel):
                    continue  # As any call, it waits as long as it takes to connect.
                if error.code is not grpc.StatusCode.UNAVAILABLE or not connected or asked_again:
                    raise
                # There is a connection by now: if it says so again, it is the gateway that does.
                asked_again = True
        return await asyncio.to_thread(lambda: self._packaged.described_by(build_pool(files)))

    def _failed(self, error: Exception, way: Way) -> None:
        told = str(error) or repr(error)
        reason = f"the gateway's own descriptors could not be had: {told}"
        logger.debug("%s", reason)
        if (
            isinstance(error, ReflectionUnavailableError)
            and error.code is grpc.StatusCode.UNAVAILABLE
            and not is_connected(way.channel)
        ):
            self._unreached = error
            return
        if isinstance(error, ReflectionUnsupportedError):
            self.wire = self._packaged
            self._pause.never()
        elif self._reflector.failure is not None:
            self._pause.never()
        else:
            self._pause.longer()
        self.failure = error
        self.wire = self.wire.because(reason)
