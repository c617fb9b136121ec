"""The publisher: sends events to a Dapr sidecar, without the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from virtufin.api.client._environment import resolve_source
from virtufin.api.client._event_attributes import ExtensionValue
from virtufin.api.client._event_template import EventTemplates
from virtufin.api.client._settings import CLOSE_WAIT
from virtufin.api.client._transport import success
from virtufin.api.client._types import NOT_GIVEN, NotGiven, Timeout
from virtufin.api.client._validation import require_name, require_timeout
from virtufin.api.client.results import StatusResult
from virtufin.api.dapr._sidecar import JsonTemplate, endpoint

from .batch_publisher import BatchPublisher
from .batch_settings import BatchSettings
from .encoding import encode, encode_each
from .results import OnFailed, PublishManyResult, make_publish_failed_error
from .sender import IN_FLIGHT, MAX_BYTES, MAX_EVENTS, Chunks, Outgoing, Sender, run_concurrently


class DaprPublisher:
    """Publishes events to a pub/sub component of a Dapr sidecar, without the gateway.

    Each event is a complete CloudEvent (`application/cloudevents+json`). A subscriber therefore
    gets the same event as through the gateway, including extension attributes such as
    `correlationid`.

    The constructor does no I/O and needs no event loop. The first publish opens the connection and
    binds the publisher to the running event loop. Close the publisher, or use it as an async
    context manager.

    Args:
        pubsub_name: Name of the sidecar's pub/sub component.
        address: Address of the sidecar, such as `127.0.0.1:50001`, `host:443?tls=true` or
            `unix:/path`. If omitted, DAPR_GRPC_ENDPOINT; if that is not set, DAPR_RUNTIME_HOST
            (or else 127.0.0.1) with DAPR_GRPC_PORT (or else 50001).
        api_token: Token that the sidecar demands. If omitted, DAPR_API_TOKEN; None sends no token.
        timeout: Default deadline of a publish in seconds. None means no deadline.
        source: Source of events that name no source. If omitted, VIRTUFIN_API_SOURCE; if that is
            not set, `urn:com.virtufin.client`.

    Raises:
        InvalidInputError: An argument, or the environment variable behind it, is invalid.

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
        source = resolve_source(source)
        self._templates = EventTemplates(source, JsonTemplate)
        self._timeout = require_timeout(timeout)
        self._transport = endpoint.make_transport(address, api_token, timeout, source)
        self._sender = Sender(self._transport, self._pubsub_name)
        # Strong references, because `close` must send the events that these batches hold.
        self._batches: set[BatchPublisher] = set()

    @property
    def pubsub_name(self) -> str:
        """The name of the pub/sub component."""
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
        """Publishes one event and waits until the sidecar has accepted the event.

        Arguments and defaults are those of `PubsubClient.publish_async`.

        Args:
            topic: The topic to publish to.
            data: The payload: text, bytes, a value that JSON can hold, or a ready CloudEvent
                message.
            metadata: Attributes as text: `ce-*` keys, and extensions by their name.
            type: Event type: the kind of thing that happened.
            source: Event source: the system that the event comes from.
            subject: Subject of the event within its source.
            content_type: Media type of the data. If omitted, it follows from the type of `data`.
            extensions: Typed extension attributes.
            correlation_id: Value of the extension `correlationid`.
            reply_topic: Value of the extension `replytopic`.
            timeout: Seconds for the call. If omitted, the publisher's; None means no deadline.

        Returns:
            `{"success": True, "status": "OK", "message": ""}`. Every failure raises.

        Raises:
            InvalidInputError: An argument is invalid. Nothing was sent.
            ClientClosedError: The publisher is closed.
            WrongLoopError: The publisher belongs to another event loop.
            VirtufinError: The sidecar did not answer in time, or rejected the event. The class of
                the error says why; see `errors`.
        """
        self._transport.check()
        require_name(topic, "topic")
        # Before the encoding, because the timeout covers the time that a large event takes there.
        budget = self._transport.budget(timeout)
        template = self._templates.get(
            metadata,
            type=type,
            source=source,
            subject=subject,
            content_type=content_type,
            extensions=extensions,
            correlation_id=correlation_id,
            reply_topic=reply_topic,
        )
        event = await encode(template, data)
        await self._sender.publish(Outgoing(topic, event.body), budget)
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
        """Publishes many events of one topic and waits until the sidecar has accepted all of them.

        Each call carries up to 100 events and 1 MiB; a larger event is sent alone. At most 4 calls
        run concurrently. The order of events is not kept, because a sidecar sends the events of one
        call to the broker in parallel. All events are encoded in memory before the first call; for
        an endless source, use `batching`. Cancelling this method cancels the calls.

        A sidecar that fails a call after some events have reached the broker does not report which
        events these are (seen with Dapr 1.18). Each event of the call is then sent once more,
        alone. An event can therefore arrive twice. Receivers recognise the copy by its equal source
        and id.

        Args:
            topic: The topic to publish to.
            data: The payload of each event, as in `publish_async`: text, bytes, a value that JSON
                can hold, or a ready CloudEvent message.
            type: Event type of all events: the kind of thing that happened.
            source: Source of all events: the system that they come from.
            subject: Subject of all events within their source.
            content_type: Media type of the data of all events. If omitted, that of each event
                follows from the type of its data.
            extensions: Typed extension attributes of all events.
            timeout: Seconds for all events together. If omitted, the publisher's; None means no
                deadline.

        Returns:
            `{"success": True, "status": "OK", "message": "", "published": n}`.

        Raises:
            InvalidInputError: An argument or an event is invalid. For an event, the text begins
                with its index. Nothing was sent.
            PublishFailedError: The sidecar did not accept some events; `failed` lists them. The
                other events were published.
            ClientClosedError: The publisher is closed.
            WrongLoopError: The publisher belongs to another event loop.

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
        # All events are encoded before the first call, because after an InvalidInputError nothing
        # may have been sent.
        chunks = Chunks()
        template = self._templates.get(
            type=type,
            source=source,
            subject=subject,
            content_type=content_type,
            extensions=extensions,
        )
        template.is_shared = True
        async for event in encode_each(template, data):
            chunks.add(event)
        await self._sender.publish_chunks(topic, chunks, budget)
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
        """Returns a batch publisher, which gathers events and sends many of them in one call.

        A batch publisher is meant for services that publish at a high rate. Each call carries a
        batch: events of one topic. A batch is sent when it is full, or when its first event has
        waited for `linger` seconds. Memory is bounded: when the pending events reach a limit,
        `BatchPublisher.publish_async` waits. Every event is either accepted by the sidecar or
        reported as failed. The caller closes the batch publisher; closing this publisher closes it
        too.

        If no sidecar answers, the batch is sent again until the deadlines of its events. If the
        sidecar rejects a batch as a whole, each event is sent again, alone. An event can therefore
        arrive twice. Receivers recognise the copy by its equal source and id.

        The order of events is not kept unless `keep_order` is set, because a sidecar sends the
        events of a batch to the broker in parallel.

        Args:
            max_events: Largest number of events in a batch, 1 to 1000.
            max_bytes: Largest size of a batch in bytes. A larger event is sent alone. A sidecar
                accepts 4 MiB by default.
            linger: Longest wait for a batch to fill, in seconds from its first event, 3600 at most.
                With 0, a batch holds the events of one turn of the event loop.
            max_pending_events: Largest number of pending events: those that were queued and are
                neither accepted nor reported as failed.
            max_pending_bytes: Largest size of the pending events in bytes, as they are sent. They
                take about twice that much memory.
            max_in_flight: Largest number of concurrent calls, 1 to 256.
            keep_order: If True, the events of one topic are sent one by one, each after the outcome
                of the event before is known. Different topics do not wait for each other. Sending
                is slower. A failed event is reported, and then the next event is sent.
            on_failed: Function or coroutine function that is called with each failed event. An
                error that the function raises is logged. The function may use the publisher, but
                must not wait for the batch. If omitted, `flush` and `close` of the batch raise the
                failures.
            timeout: Deadline of each event in seconds, from the call of `publish_async` until the
                sidecar must have accepted the event. Also the longest time that closing may take.
                If omitted, the publisher's; None means no deadline.

        Raises:
            InvalidInputError: An argument is invalid.

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
            # NOT_GIVEN is a value of its own, because None means that there is no deadline.
            timeout=self._timeout if isinstance(timeout, NotGiven) else require_timeout(timeout),
        )
        return BatchPublisher(
            self._transport, self._sender, self._templates, settings, self._batches
        )

    async def close(self) -> None:
        """Closes the batches, which sends their events, and then closes the connection. Idempotent.

        Calls of `publish_async` and `publish_many_async` that still run are cancelled and raise
        `ClientClosedError`, as later calls do.

        Raises:
            PublishFailedError: Events of batches without `on_failed` have failed since the last
                such error. The error lists them.
            WrongLoopError: The publisher belongs to another event loop.
            FailedPreconditionError: `on_failed` of a batch called this method. Nothing is closed.
        """
        batches = await self._close()
        failed = [one for batch in batches for one in batch.take_kept()]
        if failed:
            raise make_publish_failed_error(failed, sum(batch.stats.published for batch in batches))

    async def _close(self, most: float | None = None) -> tuple[BatchPublisher, ...]:
        batches = tuple(self._batches)
        # Checked before anything ends, because an `on_failed` that closes the publisher would wait
        # for its own batch, and the other batches would be closed already.
        for batch in batches:
            batch.refuse_from_on_failed()
        try:
            if batches:
                # All batches concurrently, because each may take its whole timeout.
                await run_concurrently(lambda batch: batch.finish(most), batches, len(batches))
        finally:
            # Also after a cancellation, because a closed publisher must leave no connection open.
            await self._transport.close()
        return batches

    async def __aenter__(self) -> DaprPublisher:
        self._transport.check()
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None:
            await self.close()
            return
        # A bounded end after a cancellation, because the code that cancels a task expects the task
        # to end soon.
        cancelled = isinstance(error, asyncio.CancelledError)
        # Failures are logged, because raising them would replace the exception of the block.
        for batch in await self._close(CLOSE_WAIT if cancelled else None):
            batch.log_kept(f"the publisher was left by {type(error).__name__}")

    def __repr__(self) -> str:
        closed = ", closed" if self._transport.closed else ""
        return f"<DaprPublisher {self._pubsub_name!r} at {self._transport.peer}{closed}>"
