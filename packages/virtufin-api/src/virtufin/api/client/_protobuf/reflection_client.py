"""Client of gRPC server reflection on asyncio channels: a server's services and descriptors.

The client in grpcio-reflection is synchronous, and its stub supports v1alpha only. This module uses
the messages of grpcio-reflection on a channel of grpc.aio. Version v1 has the same messages under
another service name.
"""

from __future__ import annotations

import asyncio
import importlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import grpc
import grpc.aio
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection_pb2

from virtufin.api.client._asyncio import gather_all

from .names import V1, V1ALPHA

DEFAULT_TIMEOUT = 5.0
# Added to the deadline of the call, because gRPC itself ends nearly all calls at their deadline.
_OVERTIME = 0.5


class ReflectionError(Exception):
    """Fetching the descriptors of a server failed."""


class ReflectionUnsupportedError(ReflectionError):
    """The server offers neither version of the reflection service."""


class ReflectionUnavailableError(ReflectionError):
    """Reflection failed but may succeed later: no connection, timeout, no permission, ..."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(f"{code.name}: {details}")
        self.code = code
        """Status code of the reflection call."""
        self.details = details
        """Text that came with the status code."""


class SymbolNotFoundError(ReflectionError):
    """The server has no such symbol."""

    def __init__(self, symbol: str) -> None:
        super().__init__(f"the server's reflection does not know {symbol!r}")
        self.symbol = symbol
        """Full name of the requested symbol."""


class InvalidDescriptorsError(ReflectionError):
    """The files from the server are not a complete and valid set of descriptors."""


class ReflectionClient:
    """Fetches descriptors from a server.

    The only state is the version of the reflection service that the server supports.
    """

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
            channel: Channel to the server. The caller keeps the ownership and closes the channel.
            timeout: Time limit of each public method, in seconds.
            metadata: Metadata of each request, for example an API key.
            like: Another client of the same server, which may know the supported version already.
        """
        # Both versions, because a server may offer only one of them: the servicer in
        # grpcio-reflection, for example, has v1alpha only.
        self._channel = channel
        self._timeout = timeout
        self._metadata = tuple(metadata)
        self._services: tuple[str, ...] = (V1, V1ALPHA)
        if like is not None:
            self._services = like._services  # noqa: SLF001 - of the same class

    async def list_services(self) -> list[str]:
        """Returns the full names of all services of the server.

        Raises:
            ReflectionError: A subclass that names the reason.
        """
        response = await self._ask(self._deadline(), list_services="")
        if response.HasField("error_response"):
            raise _refusal(response.error_response, "the list of services")
        return [service.name for service in response.list_services_response.service]

    async def files(
        self, *symbols: str, skip_missing: bool = False
    ) -> list[descriptor_pb2.FileDescriptorProto]:
        """Returns the files that define `symbols` and all files they import, imported files first.

        Args:
            *symbols: Full names of services, messages, ...
            skip_missing: True leaves out symbols that the server does not know, and raises an error
                only if the server knows none. False raises an error for each unknown symbol.

        Raises:
            ReflectionError: A subclass that names the reason.
        """
        deadline = self._deadline()
        found: list[bytes] = []
        missing: SymbolNotFoundError | None = None
        # The first symbol alone, because its answer shows whether the server answers at all, and in
        # which version. The others then run concurrently, each with a single attempt.
        answers = [await self._file_of(symbol, deadline) for symbol in symbols[:1]]
        answers += await gather_all(self._file_of(symbol, deadline) for symbol in symbols[1:])
        for answer in answers:
            if not isinstance(answer, SymbolNotFoundError):
                found += answer
            elif not skip_missing:
                raise answer
            else:
                missing = answer
        if missing is not None and not found:
            raise missing
        known = _parse(found)
        while unknown := sorted(_imports(known) - set(known)):
            imported = await gather_all(self._fetch_file(name, deadline) for name in unknown)
            known = {**_parse(data for answer in imported for data in answer), **known}
            if lost := [name for name in unknown if name not in known]:
                raise InvalidDescriptorsError(f"requested the file {lost[0]!r}, got another one")
        return _imports_first(known)

    async def _file_of(self, symbol: str, deadline: float) -> list[bytes] | SymbolNotFoundError:
        """Returns the file that defines a symbol, with further files that the server adds.

        An unknown symbol returns the error instead of raising it, because one missing symbol must
        not cancel the fetches of the others.
        """
        response = await self._ask(deadline, file_containing_symbol=symbol)
        if not response.HasField("error_response"):
            return list(response.file_descriptor_response.file_descriptor_proto)
        error = _refusal(response.error_response, symbol)
        if isinstance(error, SymbolNotFoundError):
            return error
        raise error

    async def pool(self, *symbols: str) -> descriptor_pool.DescriptorPool:
        """Returns a new descriptor pool with `symbols` and everything they need.

        Args:
            *symbols: Full names of services, messages, ...

        Raises:
            ReflectionError: A subclass that names the reason.
        """
        return build_pool(await self.files(*symbols))

    async def _fetch_file(self, name: str, deadline: float) -> list[bytes]:
        """Returns a file by name; a file that the server does not have is replaced.

        Protobuf's own files are replaced by the installed ones, other files by an empty file.
        """
        response = await self._ask(deadline, file_by_filename=name)
        if not response.HasField("error_response"):
            return list(response.file_descriptor_response.file_descriptor_proto)
        if known := installed_file(name):
            return [known]
        error = _refusal(response.error_response, name)
        if isinstance(error, SymbolNotFoundError):
            # An empty file as the replacement, because many servers leave out files that only
            # define options. If something of the file is needed, building the pool fails.
            return [descriptor_pb2.FileDescriptorProto(name=name).SerializeToString()]
        raise error

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._timeout

    async def _ask(self, deadline: float, **question: str) -> Any:
        """Sends a request to the reflection service, in the version that the server has."""
        request = reflection_pb2.ServerReflectionRequest(**question).SerializeToString()
        # The version known last is tried first. The others are tried too, because another server
        # may have replaced the first.
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
        # Called as a stream with one request, although the method streams both ways, because that
        # looks the same to the server and avoids a race: if a server without the service rejects
        # the call before the first write, grpc.aio often reports INTERNAL instead of UNIMPLEMENTED
        # (https://github.com/grpc/grpc/issues/36066).
        ask: Any = self._channel.unary_stream(f"/{service}/ServerReflectionInfo")
        left = deadline - asyncio.get_running_loop().time()
        call = ask(request, timeout=max(left, 0.0), metadata=self._metadata)
        try:
            # A time limit of our own, because calls that gRPC cannot start may never end.
            reply = await asyncio.wait_for(call.read(), max(left, 0.0) + _OVERTIME)
        except asyncio.TimeoutError:
            code = grpc.StatusCode.DEADLINE_EXCEEDED
            raise ReflectionUnavailableError(code, "Deadline Exceeded") from None
        finally:
            # Cancelled in any case, because only the first response is read.
            call.cancel()
        if reply is grpc.aio.EOF:
            raise InvalidDescriptorsError("the reflection stream ended without an answer")
        data: bytes = reply
        return data


def build_pool(
    files: Iterable[descriptor_pb2.FileDescriptorProto],
) -> descriptor_pool.DescriptorPool:
    """Returns a new descriptor pool with these files.

    Args:
        files: The files, with all they import, in any order.

    Raises:
        InvalidDescriptorsError: A file refers to a definition that is in none of the files.
    """
    pool = descriptor_pool.DescriptorPool()
    for file in _imports_first({file.name: file for file in files}):
        try:
            pool.AddSerializedFile(file.SerializeToString())
            # Looked up at once, because some pools build a file only then and report errors late.
            pool.FindFileByName(file.name)
        except (TypeError, KeyError) as error:
            raise InvalidDescriptorsError(f"{file.name}: {error}") from error
    return pool


def installed_file(name: str) -> bytes | None:
    """Returns a serialized proto file that comes with protobuf; None for any other file.

    Args:
        name: The file's name, such as `google/protobuf/any.proto`.
    """
    found = re.fullmatch(r"google/protobuf/([a-z_]+)\.proto", name)
    if found is None:
        return None
    try:
        module = importlib.import_module(f"google.protobuf.{found[1]}_pb2")
    except ModuleNotFoundError:
        return None
    content: bytes = module.DESCRIPTOR.serialized_pb
    return content


def _refusal(error: Any, symbol: str) -> ReflectionError:
    """Returns the error for an error response of the reflection service."""
    for code in grpc.StatusCode:
        if code.value[0] == error.error_code:
            break
    else:
        code = grpc.StatusCode.UNKNOWN
    if code is grpc.StatusCode.NOT_FOUND:
        return SymbolNotFoundError(symbol)
    return ReflectionUnavailableError(code, error.error_message)


def _parse(files: Iterable[bytes]) -> dict[str, descriptor_pb2.FileDescriptorProto]:
    """Returns the proto files by name; the first of each name."""
    known: dict[str, descriptor_pb2.FileDescriptorProto] = {}
    # Each once, because a server may send the imported files with each answer.
    for data in dict.fromkeys(files):
        try:
            file = descriptor_pb2.FileDescriptorProto.FromString(data)
        except DecodeError as error:
            raise InvalidDescriptorsError(f"a file descriptor cannot be read: {error}") from error
        known.setdefault(file.name, file)
    return known


def _imports(known: Mapping[str, descriptor_pb2.FileDescriptorProto]) -> set[str]:
    return {name for file in known.values() for name in file.dependency}


def _imports_first(
    known: dict[str, descriptor_pb2.FileDescriptorProto],
) -> list[descriptor_pb2.FileDescriptorProto]:
    """Returns the files with imported files first, because a pool needs them in that order."""
    # With a stack of its own instead of recursion, because chains of imports may be long.
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
