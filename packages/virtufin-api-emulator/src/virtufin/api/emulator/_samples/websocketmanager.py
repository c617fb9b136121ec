"""The sample backend WebSocketManager: keeps a list of connections, and opens none of them.

A message that is sent on a connection is returned, as if the peer had echoed it.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from virtufin.api.emulator._samples import websocketmanager_pb2 as pb
from virtufin.api.emulator._samples._tags import matches_filters, require_valid_tags
from virtufin.api.emulator._status_errors import StatusError

_CONNECTED = "connected"


class WebSocketManager:
    """The methods of the service virtufin.WebSocketManager."""

    FILE = pb.DESCRIPTOR
    SOURCE = "websocketmanager"

    def __init__(self, announce: Callable[[str, str, dict[str, str]], Awaitable[None]]) -> None:
        """Does no I/O.

        Args:
            announce: Function that publishes an event about a connection, called with subject, end
                of the event type, and payload.
        """
        self._announce = announce
        self._instance_id = str(uuid.uuid4())
        self._connections: dict[str, pb.WebSocketConnection] = {}
        self.reset()

    def reset(self) -> None:
        """Resets the list of connections to one connection."""
        # With every field set, so that examples which print a connection show something everywhere.
        self._connections.clear()
        self._add(
            url="wss://stream.example.com/sample",
            topic="act.exchange.sample.trade.received",
            tags={"sample": "true"},
        )

    async def connect(self, request: Any, context: Any) -> Any:
        require_valid_tags(request.tags)
        # Without a topic, because a new connection publishes only after StartPublish.
        connection = self._add(url=request.url, topic="", tags=request.tags)
        await self._announce_change(connection, "connected")
        return pb.ConnectResponse(id=connection.id, status=connection.status)

    async def list(self, request: Any, context: Any) -> Any:
        found = [
            one for one in self._connections.values() if matches_filters(one.tags, request.filters)
        ]
        return pb.ListResponse(connections=found)

    async def disconnect(self, request: Any, context: Any) -> Any:
        connection = self._get_connection(request.id)
        del self._connections[request.id]
        # After the removal, so that a subscriber of the event finds the new list.
        await self._announce_change(connection, "disconnected")
        return pb.DisconnectResponse()

    async def start_publish(self, request: Any, context: Any) -> Any:
        self._get_connection(request.id).topic = request.topic
        return pb.StartPublishResponse()

    async def stop_publish(self, request: Any, context: Any) -> Any:
        self._get_connection(request.id).topic = ""
        return pb.StopPublishResponse()

    async def send(self, request: Any, context: Any) -> Any:
        self._get_connection(request.id)
        return pb.SendResponse(response=request.message)

    async def send_raw(self, request: Any, context: Any) -> Any:
        self._get_connection(request.id)
        return pb.SendRawResponse()

    def _add(self, **fields: Any) -> pb.WebSocketConnection:
        connection = pb.WebSocketConnection(
            id=str(uuid.uuid4()),
            status=_CONNECTED,
            instance_id=self._instance_id,
            content_type="application/json",
            **fields,
        )
        self._connections[connection.id] = connection
        return connection

    def _get_connection(self, connection_id: str) -> pb.WebSocketConnection:
        try:
            return self._connections[connection_id]
        except KeyError:
            # `from None`, because the KeyError only repeats the id.
            raise StatusError(
                grpc.StatusCode.NOT_FOUND, f"no connection {connection_id!r}"
            ) from None

    async def _announce_change(self, connection: pb.WebSocketConnection, what: str) -> None:
        await self._announce(
            f"connection/{connection.id}", f"connection.{what}", {"id": connection.id}
        )
