"""A stand-in for a Dapr sidecar: a server with the publishing methods of Dapr's API.

Tests need no daprd with it. Events that a `DaprPublisher` publishes to the stand-in reach the
subscribers of the emulated gateway, as through a broker. The other methods of Dapr's API are
missing.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime, timezone
from typing import Any

import grpc
import grpc.aio
from dapr.proto import api_v1, appcallback_v1

from virtufin.api.client._json import media_type
from virtufin.api.client._wire import Wire
from virtufin.api.client.errors import InvalidReplyError
from virtufin.api.dapr._sidecar import cloudevents_json, endpoint
from virtufin.api.emulator import _ports
from virtufin.api.emulator._faults import FaultInterceptor, Injector
from virtufin.api.emulator._services import make_handlers
from virtufin.api.emulator._status_errors import InvalidArgumentError, StatusError
from virtufin.api.protos.cloudevents_pb2 import CloudEvent

_WIRE = Wire(
    {
        "Dapr.PublishEvent": endpoint.PUBLISH_EVENT,
        "Dapr.BulkPublishEventAlpha1": endpoint.BULK_PUBLISH,
    },
    origin="dapr",
)
METHODS = tuple(_WIRE[name].full_name for name in _WIRE)
"""Full names of the methods that the stand-in serves."""


class StandIn:
    """A server with the publishing methods of Dapr's API.

    Args:
        host: Address or host name of this machine to listen on.
        port: TCP port. 0 takes a free port at the first start and keeps that port from then on.
        publish: Function that delivers an event to subscribers, called with topic and serialized
            CloudEvent.
        pubsub_names: Names of the pub/sub components that exist. Events for others are rejected.
        faults: Fault plans for the calls.
        max_message_bytes: Size of the largest accepted message in bytes.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        publish: Callable[[str, bytes], Awaitable[None]],
        pubsub_names: Collection[str],
        faults: Injector,
        max_message_bytes: int,
    ) -> None:
        self.host = host
        self.port = port
        self._servicer = _Servicer(publish, pubsub_names, faults)
        self._faults = faults
        self._max_message_bytes = max_message_bytes
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Opens the port and serves calls.

        Raises:
            OSError: The port is taken, or the host is not of this machine.
        """
        self._server = grpc.aio.server(
            interceptors=[FaultInterceptor(self._faults, with_topic=METHODS)],
            options=[
                *_ports.SERVER_OPTIONS,
                ("grpc.max_receive_message_length", self._max_message_bytes),
            ],
        )
        self._server.add_generic_rpc_handlers((make_handlers(_WIRE, "Dapr", self._servicer),))
        self.port = await _ports.listen(self._server, self.host, self.port)
        await self._server.start()

    async def stop(self) -> None:
        """Ends the calls and closes the port. Idempotent."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(None)


class _Servicer:
    def __init__(
        self,
        publish: Callable[[str, bytes], Awaitable[None]],
        pubsub_names: Collection[str],
        faults: Injector,
    ) -> None:
        self._publish = publish
        self._pubsub_names = pubsub_names
        self._faults = faults

    async def publish_event(self, request: Any, context: Any) -> Any:
        await self._require_valid("Dapr.PublishEvent", request)
        event = _parse_event(request.data, request.data_content_type)
        await self._publish(request.topic, event.SerializeToString())
        return _WIRE["Dapr.PublishEvent"].response()

    async def bulk_publish_event_alpha1(self, request: Any, context: Any) -> Any:
        await self._require_valid("Dapr.BulkPublishEventAlpha1", request)
        names = {entry.entry_id for entry in request.entries}
        # Rejected, because a real sidecar rejects such entries as well.
        if "" in names or len(names) < len(request.entries):
            raise InvalidArgumentError("entryId is duplicated or not present for entry")
        failed = []
        for entry in request.entries:
            try:
                event = _parse_event(entry.event, entry.content_type)
            except StatusError as error:
                # Reported for this entry only, because a bulk publish can succeed in part.
                failed.append(
                    api_v1.BulkPublishResponseFailedEntry(
                        entry_id=entry.entry_id, error=error.details
                    )
                )
            else:
                await self._publish(request.topic, event.SerializeToString())
        return api_v1.BulkPublishResponse(failedEntries=failed)

    async def _require_valid(self, name: str, request: Any) -> None:
        # Here and not in the interceptor, because only the request contains the topic.
        await self._faults.apply(_WIRE[name].full_name, (request.topic,))
        if request.pubsub_name not in self._pubsub_names:
            raise InvalidArgumentError(f"pubsub {request.pubsub_name} is not found")
        if not request.topic:
            raise InvalidArgumentError(f"topic is empty in pubsub {request.pubsub_name}")


def _parse_event(data: bytes, content_type: str) -> CloudEvent:
    """Returns the published data as an event, as a sidecar does.

    Data of another media type than that of CloudEvents becomes the data of a new event.
    """
    if media_type(content_type) == cloudevents_json.CONTENT_TYPE:
        try:
            return cloudevents_json.from_json(data)
        except InvalidReplyError as error:
            raise StatusError(grpc.StatusCode.INVALID_ARGUMENT, error.message) from error
    # The attributes, and the content type if there is none, are those that a sidecar gives to an
    # event around plain data.
    request = appcallback_v1.TopicEventRequest(
        id=str(uuid.uuid4()),
        source="emulator",
        type="com.dapr.event.sent",
        spec_version="1.0",
        data_content_type=content_type or "text/plain",
        data=data,
    )
    request.extensions["time"] = datetime.now(timezone.utc).isoformat()
    return cloudevents_json.from_topic_event(request).cloudevent
