"""Publishing through the sidecar, past the gateway."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from dapr.proto import api_v1

from virtufin.api.client import _arguments
from virtufin.api.client._attributes import ExtensionValue
from virtufin.api.client._resolve import resolve_source
from virtufin.api.client._sentinel import NOT_GIVEN, NotGiven
from virtufin.api.client.errors import VirtufinError
from virtufin.api.client.events import to_cloudevent
from virtufin.api.client.results import StatusResult
from virtufin.api.dapr import _envelope, _sidecar


class DaprPublisher:
    """Publishes events straight to the Dapr sidecar's pub/sub component.

    Complete CloudEvents go out (`application/cloudevents+json`), so a subscriber sees the same
    event as if it had come through the gateway, extensions such as `correlationid` included.

    The constructor does no I/O and needs no event loop; the first publish opens the connection.
    A publisher belongs to one event loop. Close it, or use it as an async context manager.

    Args:
        pubsub_name: Name of the sidecar's pub/sub component.
        address: Where the sidecar is, such as `127.0.0.1:50001`, `host:443?tls=true` or
            `unix:/path`. Not given: DAPR_GRPC_ENDPOINT, else DAPR_RUNTIME_HOST (127.0.0.1) and
            DAPR_GRPC_PORT (50001).
        api_token: Token that the sidecar demands. Not given: DAPR_API_TOKEN.
        timeout: Default deadline of a publish in seconds; None for none.
        source: Source of events that name none. Not given: VIRTUFIN_API_SOURCE, else
            `urn:com.virtufin.client`.

    Raises:
        InvalidInputError: An argument, or the environment variable behind it, cannot be used.

    Example:
        >>> from virtufin.api.client import DaprPublisher
        >>> async def main():
        ...     async with DaprPublisher(pubsub_name="pubsub") as publisher:
        ...         await publisher.publish_async("my-topic", {"key": "value"})
    """

    def __init__(
        self,
        pubsub_name: str = "pubsub",
        *,
        address: str | None = None,
        api_token: str | NotGiven | None = NOT_GIVEN,
        timeout: float | None = 30.0,
        source: str | None = None,
    ) -> None:
        self._pubsub_name = _arguments.name(pubsub_name, "pubsub_name")
        self._source = resolve_source(source)
        self._transport = _sidecar.transport(address, api_token, timeout, self._source)

    @property
    def pubsub_name(self) -> str:
        """Name of the pub/sub component."""
        return self._pubsub_name

    async def publish_async(
        self,
        topic: str,
        data: Any,
        metadata: Mapping[str, str] | None = None,
        *,
        type: str | None = None,  # noqa: A002 - the CloudEvents name
        source: str | None = None,
        subject: str | None = None,
        content_type: str | None = None,
        extensions: Mapping[str, ExtensionValue] | None = None,
        correlation_id: str | None = None,
        reply_topic: str | None = None,
        timeout: float | NotGiven | None = NOT_GIVEN,
    ) -> StatusResult:
        """Publishes one event; returns when the sidecar has accepted it.

        Arguments and defaults are those of `PubsubClient.publish_async`.

        Args:
            topic: Where to publish.
            data: Text, bytes, anything JSON can hold, or a ready CloudEvent message.
            metadata: Attributes as text: `ce-*` keys, and extensions by their name.
            type: What happened.
            source: Where it happened.
            subject: What it is about.
            content_type: Media type of the data where the default is not right.
            extensions: Typed extension attributes.
            correlation_id: Extension `correlationid`.
            reply_topic: Extension `replytopic`.
            timeout: Deadline in seconds; not given means the publisher's, None none.

        Returns:
            `{"success": True, "status": "OK", "message": ""}`; every failure raises.

        Raises:
            InvalidInputError: Refused here, before anything was sent.
            VirtufinError: The sidecar did not answer, or refused; by meaning, see `errors`.
        """
        _arguments.name(topic, "topic")
        event = to_cloudevent(
            data,
            metadata,
            type=type,
            source=source,
            subject=subject,
            content_type=content_type,
            extensions=extensions,
            correlation_id=correlation_id,
            reply_topic=reply_topic,
            default_source=self._source,
        )
        request = api_v1.PublishEventRequest(
            pubsub_name=self._pubsub_name,
            topic=topic,
            data=_envelope.to_json(event),
            data_content_type=_envelope.CONTENT_TYPE,
        )
        publish = self._transport.unary
        try:
            await publish(_sidecar.PUBLISH_EVENT, request, timeout=timeout, topic=topic)
        except VirtufinError as error:
            raise _sidecar.explained(error) from None
        return {"success": True, "status": "OK", "message": ""}

    async def close(self) -> None:
        """Ends calls in flight and closes the connection. Idempotent; later calls say so."""
        await self._transport.close()

    async def __aenter__(self) -> DaprPublisher:
        self._transport.check()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        closed = ", closed" if self._transport.closed else ""
        return f"<DaprPublisher {self._pubsub_name!r} at {self._transport.peer}{closed}>"
