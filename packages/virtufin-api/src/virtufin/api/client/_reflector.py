"""Asking the gateway's reflection, at most once per connection where it does not answer."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc import aio

from virtufin.api.client._reflection import (
    ReflectionClient,
    ReflectionError,
    ReflectionUnavailableError,
    ReflectionUnsupportedError,
)
from virtufin.api.client._sentinel import NOT_GIVEN
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

    async def own_files(self, services: Sequence[str], way: Way) -> list[FileDescriptorProto]:
        """The files of the gateway's own services, those that it does not know left out.

        No answer to that means that its reflection does not answer at all.

        Raises:
            ReflectionError: As `files`.
        """
        connection = self._transport.connections.count
        try:
            return await self._ask(way, services, skip_missing=True)
        except ReflectionUnavailableError as error:
            unanswered = error.code is grpc.StatusCode.DEADLINE_EXCEEDED
            if unanswered and self._transport.watch(way.channel):
                self._failure = (connection, error)
            raise

    async def files(self, symbol: str) -> list[FileDescriptorProto]:
        """The files that define a symbol, with all they import, imported files first.

        Args:
            symbol: A full name, or the registered name of a backend.

        Raises:
            ReflectionError: One of its subclasses; the same again, unasked, where the gateway has
                no reflection or did not answer over this connection.
        """
        try:
            # Getting the API key takes its own time, as for any call.
            async with self._transport.way(self._transport.budget(NOT_GIVEN)) as way:
                return await self._ask(way, (symbol,), skip_missing=False)
        except VirtufinError as error:
            raise ReflectionUnavailableError(grpc.StatusCode.UNKNOWN, str(error)) from error

    async def _ask(
        self, way: Way, symbols: Sequence[str], *, skip_missing: bool
    ) -> list[FileDescriptorProto]:
        if self.failure is not None:
            raise self.failure.with_traceback(None)
        connection = self._transport.connections.count
        client = ReflectionClient(
            way.channel, timeout=self.timeout, metadata=way.metadata, like=self._client
        )
        self._client = client
        try:
            files = await client.files(*symbols, skip_missing=skip_missing)
        except ReflectionUnavailableError as error:
            self._transport.watch(way.channel)
            details = self._transport.secrets.redact(error.details)
            raise ReflectionUnavailableError(error.code, details) from None
        except ReflectionUnsupportedError as error:
            self._transport.watch(way.channel)
            self._failure = (connection, error)
            raise
        except aio.UsageError as error:
            raise ReflectionUnavailableError(grpc.StatusCode.CANCELLED, str(error)) from error
        if not self._transport.watch(way.channel):
            self._transport.connections.broke()
        return files
