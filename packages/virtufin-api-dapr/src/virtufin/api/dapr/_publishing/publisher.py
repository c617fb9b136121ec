"""Publishing through the sidecar, past the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from virtufin.api.client._environment import resolve_source
from virtufin.api.client._event_attributes import ExtensionValue
from virtufin.api.client._settings import CLOSE_WAIT
from virtufin.api.client._transport import success
from virtufin.api.client._types import NOT_GIVEN, NotGiven, Timeout
from virtufin.api.client._validation import require_name, require_timeout
from virtufin.api.client.results import StatusResult
from virtufin.api.dapr._sidecar import endpoint

from .batch_delivery import BatchSettings
from .batch_publisher import BatchPublisher
from .encoding import encoded, encoded_each
from .results import OnFailed, PublishManyResult, publish_failed
from .sender import IN_FLIGHT, MAX_BYTES, MAX_EVENTS, Chunks, Outgoing, Sender, in_parallel


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
        self._pubsub_name = require_name(pubsub_name, "pubsub_name")
        self._source = resolve_source(source)
        self._timeout = require_timeout(timeout)
        self._transport = endpoint.transport(address, api_token, timeout, self._source)
        self._sender = Sender(self._transport, self._pubsub_name)
        self._batches: set[BatchPublisher] = set()

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
        timeout: Timeout = NOT_GIVEN,
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
        self._transport.check()
        require_name(topic, "topic")
        budget = self._transport.budget(timeout)
        event = await encoded(
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
        await self._sender.one(Outgoing(topic, event.body), budget)
        return success()

    async def publish_many_async(
        self,
        topic: str,
        data: Iterable[Any],
        *,
        type: str | None = None,  # noqa: A002 - the CloudEvents name
        source: str | None = None,
        subject: str | None = None,
        content_type: str | None = None,
        extensions: Mapping[str, ExtensionValue] | None = None,
        timeout: Timeout = NOT_GIVEN,
    ) -> PublishManyResult:
        """Publishes many events; returns when the sidecar has accepted all of them.

        They go out 100 to a call (or 1 MiB), a few calls at a time. No order is promised: a sidecar
        hands the events of one call to the broker in parallel. All are in memory until the end; for
        a source without one, use `batching`. Cancelling cancels the calls.

        A sidecar that fails a call of which some events have reached the broker does not say which
        (seen with Dapr 1.18): each is then sent once more, alone. So an event can arrive twice,
        with the same source and id, by which receivers tell that it is the same.

        Args:
            topic: Where to publish.
            data: What each event holds, as in `publish_async`: text, bytes, anything JSON can hold,
                or a ready CloudEvent message.
            type: What happened, for all of them, as the following.
            source: Where it happened.
            subject: What it is about.
            content_type: Media type of the data where the default is not right.
            extensions: Typed extension attributes.
            timeout: Deadline in seconds for all together; not given means the publisher's, None
                none.

        Returns:
            `{"success": True, "status": "OK", "message": "", "published": n}`.

        Raises:
            InvalidInputError: One of them was refused here, the text says which; none was sent.
            PublishFailedError: Some were not accepted; `failed` names them.

        Example:
            >>> from virtufin.api.dapr import DaprPublisher
            >>> async def publish(publisher: DaprPublisher) -> int:
            ...     prices = [{"symbol": "ABC", "price": 1.5}, {"symbol": "DEF", "price": 2.5}]
            ...     result = await publisher.publish_many_async("prices", prices)
            ...     return result["published"]
        """
        self._transport.check()
        require_name(topic, "topic")
        budget = self._transport.budget(timeout)
        chunks = Chunks()
        async for event in encoded_each(
            data,
            type=type,
            source=source,
            subject=subject,
            content_type=content_type,
            extensions=extensions,
            default_source=self._source,
        ):
            chunks.add(event)
        await self._sender.all(topic, chunks, budget)
        return {**success(), "published": chunks.count}

    def batching(
        self,
        *,
        max_events: int = MAX_EVENTS,
        max_bytes: int = MAX_BYTES,
        linger: float = 0.01,
        max_pending_events: int = 10_000,
        max_pending_bytes: int = 64 * 1024 * 1024,
        max_in_flight: int = IN_FLIGHT,
        keep_order: bool = False,
        on_failed: OnFailed | None = None,
        timeout: Timeout = NOT_GIVEN,
    ) -> BatchPublisher:
        """Gathers events and sends many with each call: for services that publish much.

        A batch holds events of one topic; it goes out when it is full, or when its first event has
        waited for `linger`. Memory is bounded: where as much is pending as may be, `publish_async`
        of the batch waits. Every event is accepted by the sidecar or reported.

        A batch that fails because no sidecar answers is sent again until the deadlines of its
        events; so is, event by event, one that a sidecar refuses as a whole. So an event can arrive
        twice, with the same source and id, by which receivers tell that it is the same.

        No order is promised unless `keep_order` asks for it: a sidecar hands the events of a batch
        to the broker in parallel.

        Args:
            max_events: Events of a batch, 1 to 1000.
            max_bytes: Bytes of a batch; a larger event goes alone. A sidecar takes 4 MiB by
                default.
            linger: Seconds to wait for a batch to fill, from its first event; 0 sends what comes in
                one turn of the event loop.
            max_pending_events: Events that may be taken and not settled at once.
            max_pending_bytes: Bytes of these, as they go out; memory is about twice that.
            max_in_flight: Calls at once, 1 to 256.
            keep_order: Whether the events of one topic go out one at a time, each after the sidecar
                has accepted the one before; those of different topics go side by side. Slower; a
                failed event is reported and does not hold up the next.
            on_failed: Told of each event that has failed, a function or a coroutine function, which
                is awaited. What it raises is logged. It may use the publisher, not the batch. Not
                given: `flush` and `close` raise.
            timeout: Seconds from an event's being handed over until the sidecar must have accepted
                it; also the longest that closing may take. Not given means the publisher's, None
                none.

        Raises:
            InvalidInputError: An argument cannot be used.

        Example:
            >>> from virtufin.api.dapr import DaprPublisher
            >>> async def publish(publisher: DaprPublisher) -> None:
            ...     async with publisher.batching() as batch:
            ...         for number in range(100_000):
            ...             await batch.publish_async("ticks", {"number": number})
        """
        settings = BatchSettings(
            max_events=max_events,
            max_bytes=max_bytes,
            linger=linger,
            max_pending_events=max_pending_events,
            max_pending_bytes=max_pending_bytes,
            max_in_flight=max_in_flight,
            keep_order=keep_order,
            on_failed=on_failed,
            timeout=self._timeout if isinstance(timeout, NotGiven) else require_timeout(timeout),
        )
        return BatchPublisher(self._transport, self._sender, self._source, settings, self._batches)

    async def close(self) -> None:
        """Closes open batches, which sends what they hold, then the connection.

        Calls in flight end. Idempotent; later calls say that the publisher is closed.

        Raises:
            PublishFailedError: Events of a batch have failed of which nobody was told yet.
        """
        batches = await self._close()
        failed = [one for batch in batches for one in batch.take_kept()]
        if failed:
            raise publish_failed(failed, sum(batch.stats.published for batch in batches))

    async def _close(self, most: float | None = None) -> tuple[BatchPublisher, ...]:
        batches = tuple(self._batches)
        for batch in batches:
            batch.refuse_from_on_failed()
        try:
            if batches:
                await in_parallel(lambda batch: batch.finish(most), batches, len(batches))
        finally:
            await self._transport.close()
        return batches

    async def __aenter__(self) -> DaprPublisher:
        self._transport.check()
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None:
            await self.close()
            return
        cancelled = isinstance(error, asyncio.CancelledError)
        for batch in await self._close(CLOSE_WAIT if cancelled else None):
            batch.log_kept(f"the publisher was left by {type(error).__name__}")

    def __repr__(self) -> str:
        closed = ", closed" if self._transport.closed else ""
        return f"<DaprPublisher {self._pubsub_name!r} at {self._transport.peer}{closed}>"
