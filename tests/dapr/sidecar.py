"""The publishing side of a Dapr sidecar, as a real gRPC server on a free port."""

import asyncio
import json

import grpc.aio
from dapr.proto import api_service_v1, api_v1
from google.protobuf.empty_pb2 import Empty


class Sidecar(api_service_v1.DaprServicer):
    """Keeps what was published; the attributes make it misbehave.

    `failure` and `bulk_failure` are what every call, and every bulk call besides, is answered with;
    `refuse` says of an event (as parsed JSON) why it is refused, or None. While `open` is not set,
    calls wait; so they do for `delay` seconds.
    """

    def __init__(self, port=0):
        self.requests = []
        self.bulks = []
        self.accepted = []
        self.metadata = []
        self.failure = None
        self.bulk_failure = None
        self.refuse = lambda event: None
        self.delay = 0.0
        self.open = asyncio.Event()
        self.open.set()
        self.cancelled = asyncio.Event()
        self.at_once = 0
        self.most_at_once = 0
        self.port = port
        self._server = None

    async def PublishEvent(self, request, context):
        self.requests.append(request)
        await self._called(context)
        event = json.loads(request.data)
        refusal = self.refuse(event)
        if refusal:
            await context.abort(grpc.StatusCode.INTERNAL, refusal)
        self.accepted.append((request.topic, event))
        return Empty()

    async def BulkPublishEventAlpha1(self, request, context):
        self.bulks.append(request)
        await self._called(context)
        if self.bulk_failure:
            await context.abort(*self.bulk_failure)
        failed = []
        for entry in request.entries:
            event = json.loads(entry.event)
            refusal = self.refuse(event)
            if refusal:
                failed.append({"entry_id": entry.entry_id, "error": refusal})
            else:
                self.accepted.append((request.topic, event))
        return api_v1.BulkPublishResponse(failedEntries=failed)

    async def _called(self, context):
        self.metadata.append(dict(context.invocation_metadata()))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.open.wait()
            await asyncio.sleep(self.delay)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        finally:
            self.at_once -= 1
        if self.failure:
            await context.abort(*self.failure)

    @property
    def events(self):
        """The CloudEvents of single calls, accepted or not, as parsed JSON."""
        return [json.loads(request.data) for request in self.requests]

    @property
    def data(self):
        """The data of accepted events, in order."""
        return [event["data"] for _, event in self.accepted]

    async def start(self):
        """Starts it, the second time on the same port as the first."""
        self._server = grpc.aio.server(
            options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 4 * 1024 * 1024)]
        )
        api_service_v1.add_DaprServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self.address = f"127.0.0.1:{self.port}"
        await self._server.start()

    async def stop(self):
        """Stops it at once, in the middle of calls."""
        await self._server.stop(0)

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *_):
        await self.stop()
