"""Server reflection over asyncio channels: which services a server has, and their descriptors.

grpcio-reflection's own client side is synchronous and its stub knows v1alpha only, so its messages
are used here on a channel of grpc.aio. v1 has the same messages under another service name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import grpc
import grpc.aio
from google.protobuf import (  # Importing them registers them in the default pool.
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection_pb2

V1 = "grpc.reflection.v1.ServerReflection"
V1ALPHA = "grpc.reflection.v1alpha.ServerReflection"
DEFAULT_TIMEOUT = 5.0

_T = TypeVar("_T")
_WELL_KNOWN = {
    module.DESCRIPTOR.name: module.DESCRIPTOR.serialized_pb
    for module in (
        any_pb2,
        descriptor_pb2,
        duration_pb2,
        empty_pb2,
        field_mask_pb2,
        struct_pb2,
        timestamp_pb2,
        wrappers_pb2,
    )
}


class ReflectionError(Exception):
    """The descriptors of a server could not be had."""


class ReflectionUnsupportedError(ReflectionError):
    """The server offers neither version of the reflection service."""


class ReflectionUnavailableError(ReflectionError):
    """Reflection failed for now: no connection, no answer in time, no permission, ..."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(f"{code.name}: {details}")
        self.code = code
        """The status the reflection call ended with."""
        self.details = details
        """The text that came with it."""


class SymbolNotFoundError(ReflectionError):
    """The server has no such symbol."""

    def __init__(self, symbol: str) -> None:
        super().__init__(f"the server's reflection does not know {symbol!r}")
        self.symbol = symbol
        """Full name of what was asked for."""


class InvalidDescriptorsError(ReflectionError):
    """The server's answer does not make a complete set of descriptors."""


class ReflectionClient:
    """Asks one server for its descriptors; keeps nothing but which version it speaks."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        metadata: Sequence[tuple[str, str | bytes]] = (),
    ) -> None:
        """Does no I/O.

        Args:
            channel: The channel to ask on; it stays the caller's.
            timeout: Bound of each of the methods below, in seconds.
            metadata: Sent with each request, an API key for instance.
        """
        self._channel = channel
        self._timeout = timeout
        self._metadata = tuple(metadata)
        self._services = [V1, V1ALPHA]

    async def list_services(self) -> list[str]:
        """Full names of all services of the server.

        Raises:
            ReflectionError: One of its subclasses, see there.
        """
        return await self._converse(_list_services)

    async def files(self, *symbols: str) -> list[descriptor_pb2.FileDescriptorProto]:
        """The files that define `symbols`, with all they import, imported files first.

        Raises:
            ReflectionError: One of its subclasses, see there.
        """

        async def fetch(call: Any) -> list[descriptor_pb2.FileDescriptorProto]:
            known: dict[str, descriptor_pb2.FileDescriptorProto] = {}
            for symbol in symbols:
                _add(known, await _files_of_symbol(call, symbol))
            await _complete(call, known)
            return _imports_first(known)

        return await self._converse(fetch)

    async def pool(self, *symbols: str) -> descriptor_pool.DescriptorPool:
        """A descriptor pool of its own with `symbols` and all they need.

        Raises:
            ReflectionError: One of its subclasses, see there.
        """
        return build_pool(await self.files(*symbols))

    async def _converse(self, talk: Callable[[Any], Awaitable[_T]]) -> _T:
        unimplemented: Exception | None = None
        for service in tuple(self._services):
            try:
                result = await self._converse_with(service, talk)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                    unimplemented = error
                    continue
                raise ReflectionUnavailableError(error.code(), error.details() or "") from error
            except DecodeError as error:
                raise InvalidDescriptorsError(f"the reply cannot be read: {error}") from error
            self._services = [service]
            return result
        raise ReflectionUnsupportedError("the server offers no reflection") from unimplemented

    async def _converse_with(self, service: str, talk: Callable[[Any], Awaitable[_T]]) -> _T:
        open_stream = self._channel.stream_stream(
            f"/{service}/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        call = open_stream(timeout=self._timeout, metadata=self._metadata)
        try:
            result = await talk(call)
            await call.done_writing()
            return result
        finally:
            call.cancel()


def build_pool(
    files: Iterable[descriptor_pb2.FileDescriptorProto],
) -> descriptor_pool.DescriptorPool:
    """A descriptor pool of its own with these files.

    Raises:
        InvalidDescriptorsError: A file refers to something that none of them defines.
    """
    pool = descriptor_pool.DescriptorPool()
    for file in _imports_first({file.name: file for file in files}):
        try:
            pool.AddSerializedFile(file.SerializeToString())
            pool.FindFileByName(file.name)
        except (TypeError, KeyError) as error:
            raise InvalidDescriptorsError(f"{file.name}: {error}") from error
    return pool


async def _ask(call: Any, **question: str) -> Any:
    """One request and its response on an open stream."""
    # Suppressed: the stream has ended then, and reading says how.
    with suppress(grpc.aio.UsageError):
        await call.write(reflection_pb2.ServerReflectionRequest(**question))
    response = await call.read()
    if response is grpc.aio.EOF:
        # A stream that ends in an error raises from here.
        await _raise_for_status(call)
        raise InvalidDescriptorsError("the reflection stream ended without an answer")
    return response


async def _raise_for_status(call: Any) -> None:
    code = await call.code()
    if code is not grpc.StatusCode.OK:
        raise grpc.aio.AioRpcError(
            code,
            await call.initial_metadata(),
            await call.trailing_metadata(),
            await call.details(),
        )


def _refusal(error: Any, symbol: str) -> ReflectionError:
    """What an error response inside the stream means."""
    for code in grpc.StatusCode:
        if code.value[0] == error.error_code:
            break
    else:
        code = grpc.StatusCode.UNKNOWN
    if code is grpc.StatusCode.NOT_FOUND:
        return SymbolNotFoundError(symbol)
    return ReflectionUnavailableError(code, error.error_message)


async def _list_services(call: Any) -> list[str]:
    response = await _ask(call, list_services="")
    if response.HasField("error_response"):
        raise _refusal(response.error_response, "the list of services")
    return [service.name for service in response.list_services_response.service]


async def _files_of_symbol(call: Any, symbol: str) -> list[bytes]:
    response = await _ask(call, file_containing_symbol=symbol)
    if response.HasField("error_response"):
        raise _refusal(response.error_response, symbol)
    return list(response.file_descriptor_response.file_descriptor_proto)


async def _file_named(call: Any, name: str) -> list[bytes]:
    """A file by name; servers that lack one of its imports are helped out."""
    response = await _ask(call, file_by_filename=name)
    if not response.HasField("error_response"):
        return list(response.file_descriptor_response.file_descriptor_proto)
    if name in _WELL_KNOWN:
        return [_WELL_KNOWN[name]]
    error = _refusal(response.error_response, name)
    if isinstance(error, SymbolNotFoundError):
        # Many servers leave out files that only define options. An empty file stands in: where
        # something of it was needed after all, building the pool says so.
        return [descriptor_pb2.FileDescriptorProto(name=name).SerializeToString()]
    raise error


def _add(known: dict[str, descriptor_pb2.FileDescriptorProto], files: Iterable[bytes]) -> None:
    for data in files:
        file = descriptor_pb2.FileDescriptorProto.FromString(data)
        known.setdefault(file.name, file)


async def _complete(call: Any, known: dict[str, descriptor_pb2.FileDescriptorProto]) -> None:
    """Fetches what the known files import, and what these import, until nothing is missing."""
    while missing := {name for file in known.values() for name in file.dependency} - set(known):
        for name in sorted(missing - set(known)):
            _add(known, await _file_named(call, name))
            if name not in known:
                raise InvalidDescriptorsError(f"asked for {name!r}, the server sent another file")


def _imports_first(
    known: dict[str, descriptor_pb2.FileDescriptorProto],
) -> list[descriptor_pb2.FileDescriptorProto]:
    """Imported files first, as a pool wants them."""
    ordered: dict[str, descriptor_pb2.FileDescriptorProto] = {}
    entered: set[str] = set()
    stack = [(name, False) for name in reversed(known)]
    while stack:
        name, imports_done = stack.pop()
        if imports_done:
            ordered.setdefault(name, known[name])
        elif name not in entered:
            entered.add(name)
            stack.append((name, True))
            imports = [imported for imported in known[name].dependency if imported in known]
            stack.extend((imported, False) for imported in imports)
    return list(ordered.values())
