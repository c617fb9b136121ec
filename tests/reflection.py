"""A client of gRPC server reflection of the tests' own, so that no product code checks itself."""

import grpc
import grpc.aio
from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    message_factory,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from grpc_reflection.v1alpha import reflection_pb2

V1 = "grpc.reflection.v1.ServerReflection"
V1ALPHA = "grpc.reflection.v1alpha.ServerReflection"
WELL_KNOWN = [
    module.DESCRIPTOR.serialized_pb
    for module in (
        any_pb2,
        duration_pb2,
        empty_pb2,
        field_mask_pb2,
        struct_pb2,
        timestamp_pb2,
        wrappers_pb2,
    )
]
"""The serialized proto files that come with protobuf."""


class Reflection:
    """Requests descriptors on a channel, in one version of the service.

    The servers of these tests send a file together with all files that it imports, or import only
    files that come with protobuf.
    """

    def __init__(self, channel, *, version=V1, metadata=()):
        self._call = channel.unary_stream(f"/{version}/ServerReflectionInfo")
        self._metadata = tuple(metadata)

    async def list_services(self):
        """Returns the full names of the server's services."""
        reply = await self._request(list_services="")
        return [service.name for service in reply.list_services_response.service]

    async def files(self, symbol):
        """Returns the file that defines a symbol, followed by the files that it imports.

        Raises:
            LookupError: The server does not know the symbol.
        """
        return files_in(await self._request(file_containing_symbol=symbol))

    async def pool(self, *symbols):
        """Returns a pool with the files of these symbols."""
        return make_pool([file for symbol in symbols for file in await self.files(symbol)])

    async def _request(self, **fields):
        request = reflection_pb2.ServerReflectionRequest(**fields).SerializeToString()
        call = self._call(request, metadata=self._metadata)
        try:
            data = await call.read()
        finally:
            call.cancel()
        reply = reflection_pb2.ServerReflectionResponse.FromString(data)
        if reply.HasField("error_response"):
            assert reply.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0], reply
            raise LookupError(reply.error_response.error_message)
        return reply


def files_in(reply):
    """Returns the files of a reply."""
    data = reply.file_descriptor_response.file_descriptor_proto
    return [descriptor_pb2.FileDescriptorProto.FromString(item) for item in data]


def make_pool(files):
    """Returns a pool with these files, in any order, and with protobuf's own.

    Raises:
        TypeError: A file imports a file that is missing.
    """
    pool = descriptor_pool.DescriptorPool()
    for data in WELL_KNOWN:
        pool.AddSerializedFile(data)
    protobufs_own = {
        descriptor_pb2.FileDescriptorProto.FromString(data).name for data in WELL_KNOWN
    }
    waiting = {file.name: file for file in files if file.name not in protobufs_own}

    def add(file):
        for name in file.dependency:
            if name in waiting:
                add(waiting.pop(name))
        pool.AddSerializedFile(file.SerializeToString())

    while waiting:
        add(waiting.pop(next(iter(waiting))))
    return pool


def message_class(pool, full_name):
    """Returns the class of a message of a pool."""
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(full_name))
