"""Publishing much: events are gathered and go out many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import grpc

from virtufin.api.client import _arguments
from virtufin.api.client._attributes import ExtensionValue
from virtufin.api.client._deadline import Budget
from virtufin.api.client._failures import from_status
from virtufin.api.client._sentinel import NOT_GIVEN, NotGiven
from virtufin.api.client._settings import CLOSE_WAIT
from virtufin.api.client._transport import Transport
from virtufin.api.client.errors import VirtufinError
from virtufin.api.dapr._batch import Batch
from virtufin.api.dapr._delivery import Pending
from virtufin.api.dapr._encoding import encoded
from virtufin.api.dapr._receipt import Receipt
from virtufin.api.dapr._turns import Turns


@dataclass(frozen=True)
class BatchStats:
    """What a batch has done so far; `queued + in_flight + published + failed` is all it was given.

    Example:
        >>> from virtufin.api.dapr import DaprPublisher
        >>> async def lag(publisher: DaprPublisher) -> int:
        ...     async with publisher.batching() as batch:
        ...         await batch.publish_async("prices", 1.5)
        ...         return batch.stats.queued + batch.stats.in_flight
    """

    queued: int
    """Events that wait to be sent."""
    in_flight: int
    """Events that were sent, or are about to be sent again, and are not settled yet."""
    published: int
    """Events that the sidecar has accepted."""
    failed: int
    """Events that it has not."""
    batches: int
    """Batches that were made of them."""


class BatchPublisher:
    """Gathers events and publishes many with each call, for services that publish much.

    Made by `DaprPublisher.batching()`. Every event that `publish_async` has taken is either
    accepted by the sidecar or reported as failed: to its receipt, and to `on_failed`, else by the
    next `flush()` or `close()`. Leaving the `async with` block closes the batch, which sends what
    is left.
    """

    def __init__(
        self, batch: Batch, transport: Transport, source: str, timeout: float | None
    ) -> None:
        self._batch = batch
        self._transport = transport
        self._source = source
        self._timeout = timeout
        self._turns = Turns()
        self._given = 0

    @property
    def stats(self) -> BatchStats:
        """What has become of the events so far."""
        delivery = self._batch.delivery
        return BatchStats(
            queued=delivery.queued,
            in_flight=delivery.in_flight,
            published=delivery.published,
            failed=delivery.failed,
            batches=delivery.batches,
        )

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
    ) -> Receipt:
        """Takes one event; returns as soon as it is queued, after a wait where the batch is full.

        Those who wait have their turn in the order in which they came. Cancelling the wait leaves
        nothing behind; an event that was taken is published whatever becomes of the caller.

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
            timeout: Seconds from now until the sidecar must have accepted the event, the wait for
                room included; not given means the batch's, None none.

        Returns:
            What can be awaited for the outcome of this event, and need not be.

        Raises:
            InvalidInputError: Refused here; nothing was queued.
            DeadlineExceededError: There was no room in time; nothing was queued.
            ClientClosedError: The batch or its publisher is closed; nothing was queued.
            PublishFailedError: As many earlier events as the batch may hold have failed and nobody
                was told yet; names them. This event was not queued.
        """
        self._batch.check()
        self._batch.raise_kept(only_if_full=True)
        budget = self._transport.budget(self._timeout if isinstance(timeout, NotGiven) else timeout)
        _arguments.name(topic, "topic")
        await self._turns.pause()
        event, body = await encoded(
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
        pending = Pending(topic, body, self._given, event, budget, Receipt())
        room, delivery = self._batch.room, self._batch.delivery
        if not room.take_now(pending.size):
            delivery.make_room()
            if not await room.take(pending.size, budget):
                raise self._no_room(topic, budget)
        # Nothing is awaited from here on, so that what has room is queued.
        pending.index = self._given
        self._given += 1
        delivery.put(pending)
        return pending.receipt

    async def flush(self) -> None:
        """Sends what is queued now without further waiting, and waits until it is settled.

        That is within the deadlines of the events. Cancelling ends the wait only.

        Raises:
            PublishFailedError: Events have failed of which nobody was told yet; names them.
            ClientClosedError: The batch or its publisher is closed.
        """
        self._batch.check()
        await self._batch.delivery.drained(None)
        self._batch.raise_kept()

    async def close(self) -> None:
        """Sends what is queued, waits until it is settled, and takes no more. Idempotent.

        Those who wait for room are sent away. What is not settled within the batch's `timeout` has
        failed. Cancelled, it gives up at once, and logs how many events were not published.

        Raises:
            PublishFailedError: Events have failed of which nobody was told yet; names them.
        """
        await self._batch.finish()
        self._batch.raise_kept()

    def _no_room(self, topic: str, budget: Budget) -> VirtufinError:
        text = f"the batch had no room for the event within {budget.total or 0.0:.3g} s"
        return from_status(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            f"{text}; the sidecar does not keep up",
            details=text,
            peer=self._transport.peer,
            topic=topic,
        )

    async def __aenter__(self) -> BatchPublisher:
        self._batch.check()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            await self.close()
            return
        # Whoever cancels expects an end soon.
        await self._batch.finish(CLOSE_WAIT if isinstance(error, asyncio.CancelledError) else None)
        self._batch.log_kept(f"the batch was left by {type(error).__name__}")

    def __repr__(self) -> str:
        closed = ", closed" if self._batch.closed else ""
        stats = self.stats
        return (
            f"<BatchPublisher at {self._transport.peer}, {stats.queued} queued, "
            f"{stats.in_flight} in flight, {stats.published} published, "
            f"{stats.failed} failed{closed}>"
        )
