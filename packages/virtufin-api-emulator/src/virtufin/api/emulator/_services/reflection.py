"""Server reflection in the versions v1 and v1alpha.

By reflection clients fetch descriptors: protobuf's descriptions of the files, messages and services
of a server. A symbol is the full name of a service, method, message or field.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from typing import Any

import grpc
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection_pb2

from virtufin.api.client._protobuf import V1, V1ALPHA
from virtufin.api.emulator._wires import DescriptorSet, DescriptorSource, collect_files


def make_reflection_handlers(source: DescriptorSource) -> list[grpc.GenericRpcHandler]:
    """Returns gRPC handlers for both versions of the reflection service.

    Args:
        source: Source of the descriptors.
    """
    # One servicer for both, because their messages are the same. Only the service name differs.
    handler = grpc.stream_stream_rpc_method_handler(
        ReflectionServicer(source).server_reflection_info,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return [
        grpc.method_handlers_generic_handler(service, {"ServerReflectionInfo": handler})
        for service in (V1, V1ALPHA)
    ]


def make_reflection_files() -> list[descriptor_pb2.FileDescriptorProto]:
    """Returns the proto files that define the two versions of the reflection service."""
    alpha = descriptor_pb2.FileDescriptorProto.FromString(reflection_pb2.DESCRIPTOR.serialized_pb)
    # A renamed copy, because grpcio-reflection contains no v1. Without the copy, clients that look
    # up the file of the v1 service get NOT_FOUND.
    stable = descriptor_pb2.FileDescriptorProto.FromString(alpha.SerializeToString())
    stable.name = alpha.name.replace("v1alpha", "v1")
    stable.package = alpha.package.replace("v1alpha", "v1")
    for message in stable.message_type:
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace(".v1alpha.", ".v1.")
    for service in stable.service:
        for method in service.method:
            method.input_type = method.input_type.replace(".v1alpha.", ".v1.")
            method.output_type = method.output_type.replace(".v1alpha.", ".v1.")
    return [stable, alpha]


class ReflectionServicer:
    """The method of the reflection service.

    Each request is answered from the first descriptor set that has the symbol or file.

    Args:
        source: Source of the descriptor sets.
    """

    def __init__(self, source: DescriptorSource) -> None:
        self._source = source

    async def server_reflection_info(
        self, requests: AsyncIterator[Any], context: Any
    ) -> AsyncIterator[Any]:
        async for request in requests:
            response = reflection_pb2.ServerReflectionResponse(
                valid_host=request.host, original_request=request
            )
            try:
                await self._answer(request, response)
            except KeyError as error:
                response.error_response.error_code = grpc.StatusCode.NOT_FOUND.value[0]
                response.error_response.error_message = f"not found: {error.args[0]}"
            yield response

    async def _answer(self, request: Any, response: Any) -> None:
        kind = request.WhichOneof("message_request")
        if kind == "list_services":
            for name in await self._list_services():
                response.list_services_response.service.add(name=name)
        elif kind == "file_by_filename":
            name = request.file_by_filename
            _add_files(
                response, [await self._find_first(lambda one: one.pool.FindFileByName(name))]
            )
        elif kind == "file_containing_symbol":
            _add_files(response, [await self._find_file(request.file_containing_symbol)])
        elif kind == "file_containing_extension":
            asked = request.file_containing_extension
            _add_files(
                response,
                [
                    await self._find_first(
                        lambda one: (
                            one.pool.FindExtensionByNumber(
                                one.pool.FindMessageTypeByName(asked.containing_type),
                                asked.extension_number,
                            ).file
                        )
                    )
                ],
            )
        elif kind == "all_extension_numbers_of_type":
            name = request.all_extension_numbers_of_type
            extensions = await self._find_first(
                lambda one: one.pool.FindAllExtensions(one.pool.FindMessageTypeByName(name))
            )
            response.all_extension_numbers_response.base_type_name = name
            response.all_extension_numbers_response.extension_number.extend(
                sorted(extension.number for extension in extensions)
            )
        else:
            response.error_response.error_code = grpc.StatusCode.INVALID_ARGUMENT.value[0]
            response.error_response.error_message = "the request asks for nothing"

    async def _list_services(self) -> list[str]:
        sets = [one async for one in self._source.fetch_sets()]
        return list(dict.fromkeys(name for one in sets for name in one.services))

    async def _find_file(self, symbol: str) -> FileDescriptor:
        # With dots, the symbol itself comes before the alias, because a package may have the name
        # of a registered service.
        name, dot, rest = symbol.partition(".")
        if not dot and (aliased := await self._source.resolve_alias(name)) is not None:
            return _find_file_in(*aliased)
        try:
            found: FileDescriptor = await self._find_first(lambda one: _find_file_in(one, symbol))
            return found
        except KeyError:
            if (aliased := await self._source.resolve_alias(name)) is None:
                raise
            one, full_name = aliased
            return _find_file_in(one, f"{full_name}.{rest}")

    async def _find_first(self, find: Any) -> Any:
        missing = KeyError("no descriptors")
        async for one in self._source.fetch_sets():
            try:
                return find(one)
            except KeyError as error:
                missing = error
        raise missing


def _find_file_in(one: DescriptorSet, symbol: str) -> FileDescriptor:
    """Returns the file of a descriptor set that defines a symbol.

    Raises:
        KeyError: No file of the set defines the symbol.
    """
    try:
        file: FileDescriptor = one.pool.FindFileContainingSymbol(symbol)
        return file
    except KeyError:
        # A second lookup, because methods and fields are symbols in the protocol but not in the
        # descriptor pool.
        parent, _, name = symbol.rpartition(".")
        file = one.pool.FindFileContainingSymbol(parent)
        for find in (one.pool.FindServiceByName, one.pool.FindMessageTypeByName):
            # Suppressed, because the parent is either a service or a message.
            with suppress(KeyError):
                owner: Any = find(parent)
                if name in getattr(owner, "methods_by_name", getattr(owner, "fields_by_name", ())):
                    return file
        raise


def _add_files(response: Any, files: Iterable[FileDescriptor]) -> None:
    # With all imports, so that all files come from the same set. If two backends have files of the
    # same name, a request for an import by name would return the file of the first backend.
    response.file_descriptor_response.file_descriptor_proto.extend(
        file.serialized_pb for file in collect_files(files)
    )
