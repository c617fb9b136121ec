"""Server reflection over asyncio channels: which services a server has, and their descriptors.

grpcio-reflection's own client side is synchronous and its stub knows v1alpha only, so its messages
are used here on a channel of grpc.aio. v1 has the same messages under another service name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

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

from virtufin.api.client._asyncio import gather_all

V1 = "grpc.reflection.v1.ServerReflection"
INFRASTRUCTURE = ("grpc.reflection.", "grpc.health.", "grpc.channelz.")
"""How the names of services begin that many servers have beside their own."""
V1ALPHA = "grpc.reflection.v1alpha.ServerReflection"
DEFAULT_TIMEOUT = 5.0
_OVERTIME = 0.5

WELL_KNOWN = {
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
"""Protobuf's own files by name, serialized."""


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
        like: ReflectionClient | None = None,
    ) -> None:
        """Does no I/O.

        Args:
            channel: The channel to ask on; it stays the caller's.
            timeout: Bound of each of the methods below, in seconds.
            metadata: Sent with each request, an API key for instance.
            like: Another one of the same server, which may know the version it speaks.
        """
        self._channel = channel
        self._timeout = timeout
        self._metadata = tuple(metadata)
        self._services: tuple[str, ...] = (V1, V1ALPHA)
        if like is not None:
            self._services = like._services  # noqa: SLF001 - of the same class

    async def list_services(self) -> list[str]:
        """Full names of all services of the server.

        Raises:
            ReflectionError: One of its subclasses, see there.
        """
        response = await self._ask(self._deadline(), list_services="")
        if response.HasField("error_response"):
            raise _refusal(response.error_response, "the list of services")
        return [service.name for service in response.list_services_response.service]

    async def files(
        self, *symbols: str, skip_missing: bool = False
    ) -> list[descriptor_pb2.FileDescriptorProto]:
        """The files that define `symbols`, with all they import, imported files first.

        Args:
            *symbols: Full names of services, messages, ...
            skip_missing: Whether symbols that the server does not know are left out, as long as it
                knows one.

        Raises:
            ReflectionError: One of its subclasses, see there.
        """
        deadline = self._deadline()
        known: dict[str, descriptor_pb2.FileDescriptorProto] = {}
        missing: SymbolNotFoundError | None = None
        # One first, which tells the version of the service; the others at once.
        answers = [await self._file_of(symbol, deadline) for symbol in symbols[:1]]
        answers += await gather_all(self._file_of(symbol, deadline) for symbol in symbols[1:])
        for answer in answers:
            if not isinstance(answer, SymbolNotFoundError):
                _add(known, answer)
            elif not skip_missing:
                raise answer
            else:
                missing = answer
        if missing is not None and not known:
            raise missing
        while unknown := _missing(known):
            for name in unknown:
                if name not in known:
                    _add(known, await self._file_named(name, deadline))
                if name not in known:
                    raise InvalidDescriptorsError(f"asked for {name!r}, got another file")
        return _imports_first(known)

    async def _file_of(self, symbol: str, deadline: float) -> list[bytes] | SymbolNotFoundError:
        """The file that defines a symbol, with what the server sends along."""
        response = await self._ask(deadline, file_containing_symbol=symbol)
        if not response.HasField("error_response"):
            return list(response.file_descriptor_response.file_descriptor_proto)
        error = _refusal(response.error_response, symbol)
        if isinstance(error, SymbolNotFoundError):
            return error
        raise error

    async def pool(self, *symbols: str) -> descriptor_pool.DescriptorPool:
        """A descriptor pool of its own with `symbols` and all they need.

        Raises:
            ReflectionError: One of its subclasses, see there.
        """
        return build_pool(await self.files(*symbols))

    async def _file_named(self, name: str, deadline: float) -> list[bytes]:
        """A file by name; a server that lacks it is helped out."""
        response = await self._ask(deadline, file_by_filename=name)
        if not response.HasField("error_response"):
            return list(response.file_descriptor_response.file_descriptor_proto)
        if name in WELL_KNOWN:
            return [WELL_KNOWN[name]]
        error = _refusal(response.error_response, name)
        if isinstance(error, SymbolNotFoundError):
            # Many servers leave out files that only define options. An empty file stands in: where
            # something of it was needed after all, building the pool says so.
            return [descriptor_pb2.FileDescriptorProto(name=name).SerializeToString()]
        raise error

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._timeout

    async def _ask(self, deadline: float, **question: str) -> Any:
        """The response to one question, from the version of the service that the server has."""
        request = reflection_pb2.ServerReflectionRequest(**question).SerializeToString()
        # The version known last first: the server may be another one by now.
        for service in dict.fromkeys((*self._services, V1, V1ALPHA)):
            try:
                reply = await self._call(service, request, deadline)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                    continue
                raise ReflectionUnavailableError(error.code(), error.details() or "") from error
            self._services = (service,)
            try:
                return reflection_pb2.ServerReflectionResponse.FromString(reply)
            except DecodeError as error:
                raise InvalidDescriptorsError(f"the response cannot be read: {error}") from error
        raise ReflectionUnsupportedError("the server offers no reflection")

    async def _call(self, service: str, request: bytes, deadline: float) -> bytes:
        # The method streams both ways, but a stream with one request looks the same, and leaves
        # out a race: where a server without the service refuses before the first write, grpc.aio
        # often reports INTERNAL instead of UNIMPLEMENTED (https://github.com/grpc/grpc/issues/36066).
        ask: Any = self._channel.unary_stream(f"/{service}/ServerReflectionInfo")
        left = deadline - asyncio.get_running_loop().time()
        call = ask(request, timeout=max(left, 0.0), metadata=self._metadata)
        try:
            # Some calls that grpc cannot begin never end by themselves.
            reply = await asyncio.wait_for(call.read(), max(left, 0.0) + _OVERTIME)
        except asyncio.TimeoutError:
            code = grpc.StatusCode.DEADLINE_EXCEEDED
            raise ReflectionUnavailableError(code, "Deadline Exceeded") from None
        finally:
            call.cancel()
        if reply is grpc.aio.EOF:
            raise InvalidDescriptorsError("the reflection stream ended without an answer")
        data: bytes = reply
        return data


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


def _add(known: dict[str, descriptor_pb2.FileDescriptorProto], files: Iterable[bytes]) -> None:
    for data in files:
        try:
            file = descriptor_pb2.FileDescriptorProto.FromString(data)
        except DecodeError as error:
            raise InvalidDescriptorsError(f"a file descriptor cannot be read: {error}") from error
        known.setdefault(file.name, file)


def _missing(known: Mapping[str, descriptor_pb2.FileDescriptorProto]) -> list[str]:
    """What the known files import and nobody has sent."""
    imported = {name for file in known.values() for name in file.dependency}
    return sorted(imported - set(known))


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
