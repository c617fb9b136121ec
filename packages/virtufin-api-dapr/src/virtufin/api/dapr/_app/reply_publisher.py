"""Replies to requests, published through the sidecar.

A request is an event that carries `replytopic` and `correlationid`. Its reply is an event on that
topic with that correlation id.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from virtufin.api.client._subscriptions import send_failure
from virtufin.api.client.events import PubsubEvent
from virtufin.api.dapr._publishing import DaprPublisher


class ReplyPublisher:
    """Publishes replies to the pub/sub component that delivered the request.

    Args:
        publisher: Function that creates the publisher for a pub/sub component. `close` closes the
            publishers.
        redact: Function that removes secrets from error texts.
    """

    def __init__(
        self, publisher: Callable[[str], DaprPublisher], redact: Callable[[str], str]
    ) -> None:
        self._publisher = publisher
        self._redact = redact
        # A publisher for each component, because a publisher is bound to one component. Kept,
        # because each publisher opens a connection.
        self._publishers: dict[str, DaprPublisher] = {}

    async def reply(self, pubsub_name: str, request: PubsubEvent, data: object) -> None:
        """Publishes the reply to a request.

        Args:
            pubsub_name: Pub/sub component that delivered the request.
            request: The event that is the request.
            data: Data of the reply.

        Raises:
            InvalidInputError: The data cannot be sent.
            VirtufinError: The sidecar did not accept the reply.
        """
        await self._publish(pubsub_name, request, data)

    async def reply_failure(
        self, pubsub_name: str, request: PubsubEvent, error: BaseException
    ) -> None:
        """Publishes a reply that reports the failure of a request to the requester.

        Args:
            pubsub_name: Pub/sub component that delivered the request.
            request: The event that is the request.
            error: The failure. Secrets are removed from its text in the reply.

        Raises:
            VirtufinError: The sidecar did not accept the reply.
        """

        async def publish(request: PubsubEvent, data: object, **attributes: Any) -> None:
            await self._publish(pubsub_name, request, data, **attributes)

        await send_failure(publish, request, error, self._redact)

    async def close(self) -> None:
        """Closes the connections to the sidecar."""
        # Removed one by one, because a reply during the closing may add another publisher.
        while self._publishers:
            _, publisher = self._publishers.popitem()
            await publisher.close()

    async def _publish(
        self, pubsub_name: str, request: PubsubEvent, data: object, **attributes: Any
    ) -> None:
        publisher = self._publishers.get(pubsub_name)
        if publisher is None:
            publisher = self._publishers[pubsub_name] = self._publisher(pubsub_name)
        await publisher.publish_async(
            request.reply_topic, data, correlation_id=request.correlation_id, **attributes
        )
