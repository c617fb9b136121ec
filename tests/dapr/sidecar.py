"""The publishing side of a Dapr sidecar, as a real gRPC server on a free port."""

import asyncio
import json

import grpc.aio
from dapr.proto import api_service_v1
from google.protobuf.empty_pb2 import Empty


class Sidecar(api_service_v1.DaprServicer):
    """Keeps what was published; `failure` and `delay` make it misbehave."""

    def __init__(self):
        self.requests = []
        self.metadata = []
        self.failure = None
        self.delay = 0.0
        self.cancelled = asyncio.Event()

    async def PublishEvent(self, request, context):
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        try:
            await asyncio.sleep(self.delay)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if self.failure:
            await context.abort(*self.failure)
        return Empty()

    @property
    def events(self):
        """The CloudEvents as parsed JSON."""
        return [json.loads(request.data) for request in self.requests]

    async def __aenter__(self):
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        api_service_v1.add_DaprServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self.address = f"127.0.0.1:{self.port}"
        await self._server.start()
        return self

    async def __aexit__(self, *_):
        await self._server.stop(0)
