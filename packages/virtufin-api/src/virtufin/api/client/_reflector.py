"""Asking the gateway's reflection, at most once per connection where it does not answer."""

from __future__ import annotations

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc import aio

from virtufin.api.client._deadline import Budget
from virtufin.api.client._reflection import (
    ReflectionClient,
    ReflectionError,
    ReflectionUnavailableError,
    ReflectionUnsupportedError,
)
from virtufin.api.client._transport import Transport, Way
from virtufin.api.client.errors import VirtufinError


class Reflector:
    """The gateway's reflection as one client asks it."""

    def __init__(self, transport: Transport, timeout: float) -> None:
        """Does no I/O.

        Args:
            transport: The way to the gateway.
            timeout: Seconds that an answer may take.
        """
        self._transport = transport
        self.timeout = timeout
        self._client: ReflectionClient | None = None
        self._failure: tuple[int, ReflectionError] | None = None

    @property
    def failure(self) -> ReflectionError | None:
        """Why it is not asked again over this connection; None where it is."""
        if self._failure is None or self._failure[0] != self._transport.connections.count:
            return None
        return self._failure[1]

    async def files(
        self, *symbols: str, way: Way | None = None, skip_missing: bool = False
    ) -> list[FileDescriptorProto]:
        """The files that define `symbols`, with all they import, imported files first.

        Args:
            *symbols: Full names, or the registered name of a backend.
            way: The way to ask; None takes one.
            skip_missing: Whether those that the gateway does not know are left out.

        Raises:
            ReflectionError: One of its subclasses; the same again, unasked, where the gateway has
                no reflection or did not answer over this connection.
        """
        if self.failure is not None:
            raise self.failure
        if way is not None:
            return await self._ask(way, symbols, skip_missing)
        try:
            async with self._transport.way(Budget(self.timeout)) as own:
                return await self._ask(own, symbols, skip_missing)
        except VirtufinError as error:
            raise ReflectionUnavailableError(grpc.StatusCode.UNKNOWN, str(error)) from error

    async def _ask(
        self, way: Way, symbols: tuple[str, ...], skip_missing: bool
    ) -> list[FileDescriptorProto]:
        connection = self._transport.connections.count
        self._client = ReflectionClient(
            way.channel, timeout=self.timeout, metadata=way.metadata, like=self._client
        )
        try:
            files = await self._client.files(*symbols, skip_missing=skip_missing)
        except ReflectionError as error:
            connected = self._transport.watch(way.channel)
            unanswered = (
                isinstance(error, ReflectionUnavailableError)
                and error.code is grpc.StatusCode.DEADLINE_EXCEEDED
            )
            if isinstance(error, ReflectionUnsupportedError) or (unanswered and connected):
                self._failure = (connection, error)
            raise
        except aio.UsageError as error:
            raise ReflectionUnavailableError(grpc.StatusCode.CANCELLED, str(error)) from error
        self._transport.watch(way.channel)
        return files
