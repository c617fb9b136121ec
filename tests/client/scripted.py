"""A gRPC server whose every method is a function of the test."""

import grpc
from grpc import aio

from virtufin.api.client import Wire

WIRE = Wire.packaged()
OPTIONS = (
    # Without this, a second server binds the same port without an error.
    ("grpc.so_reuseport", 0),
    # Without these two, gRPC cancels calls at random when more than 1,000 are waiting to start.
    ("grpc.server.max_pending_requests", 2**31 - 1),
    ("grpc.server.max_pending_requests_hard_limit", 2**31 - 1),
)


class ScriptedGateway:
    """Answers `path` by the function that the test put into `methods`.

    A unary function takes request and context and returns the response message; a streaming one
    is an async generator. Unknown paths answer UNIMPLEMENTED, as a real server does.
    """

    def __init__(self):
        self.methods = {}
        self.headers = []
        self.host = "127.0.0.1"
        self.port = 0
        self.server = None

    def answer(self, name, function):
        """Sets what a method of the wire does: `answer("State.GetState", function)`."""
        self.methods[WIRE[name].path] = (WIRE[name], function)

    def fail(self, name, code, details="scripted", **metadata):
        """Lets a method fail with a status before any response."""

        async def failing(request, context):
            await context.abort(code, details, tuple(metadata.items()))

        async def failing_stream(request, context):
            await context.abort(code, details, tuple(metadata.items()))
            yield

        self.answer(name, failing_stream if WIRE[name].server_streaming else failing)

    async def start(self):
        self.server = aio.server(options=OPTIONS)
        self.server.add_generic_rpc_handlers((_Handlers(self),))
        self.port = self.server.add_insecure_port(f"{self.host}:{self.port}")
        await self.server.start()

    async def stop(self):
        await self.server.stop(0)

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *_):
        await self.stop()


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, gateway):
        self._gateway = gateway

    def service(self, details):
        self._gateway.headers.append((details.method, dict(details.invocation_metadata)))
        if details.method not in self._gateway.methods:
            return None
        method, function = self._gateway.methods[details.method]
        make = (
            grpc.unary_stream_rpc_method_handler
            if method.server_streaming
            else grpc.unary_unary_rpc_method_handler
        )

        def serialize(response):
            return response if isinstance(response, bytes) else response.SerializeToString()

        return make(function, method.request.FromString, serialize)
