"""Calls to the sidecar that publish: one event a call, or several events of one topic.

Dapr names a call with several events a bulk publish.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import grpc
from dapr.proto import api_v1

from virtufin.api.client._deadlines import Budget
from virtufin.api.client._error_mapping import expired, from_status
from virtufin.api.client._transport import Transport
from virtufin.api.client.errors import VirtufinError
from virtufin.api.dapr._sidecar import add_hint, cloudevents_json, endpoint

from .encoding import Encoded, Origin
from .results import FailedEvent, make_publish_failed_error

Item = TypeVar("Item")


async def run_concurrently(
    work: Callable[[Item], Awaitable[None]], items: Iterable[Item], limit: int
) -> None:
    """Calls an async function with each item, in at most `limit` concurrent tasks.

    Returns after all calls have ended. Cancelling this function cancels the running calls.

    Args:
        work: Coroutine function that is called with each item.
        items: The items. The next item is taken when a task is free.
        limit: Largest number of concurrent calls.

    Raises:
        Exception: An error of `work`: of several, that of the task that was started first. The task
            of that call takes no further items; the other tasks go on.
    """
    # One iterator for all workers, because items must be produced only as they are needed.
    left = iter(items)

    async def worker() -> None:
        for item in left:
            await work(item)

    workers = [asyncio.ensure_future(worker()) for _ in range(limit)]
    try:
        await asyncio.wait(workers)
    finally:
        # Gathered, because no call may still run after this function has ended.
        for one in workers:
            one.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    for one in workers:
        one.result()


# 100, because such a call is four to five times as fast as single events, and more gain nothing.
MAX_EVENTS = 100
"""Largest number of events in one call, unless the user sets another."""
# A quarter of 4 MiB, because that is the limit of a sidecar by default.
MAX_BYTES = 1024 * 1024
"""Largest size of one call in bytes, unless the user sets another."""
# A little more than needed, because a call must never be above the limit.
ENTRY_BYTES = 64
"""Bytes that an event takes in a call beside its body: entry id, media type and lengths."""
IN_FLIGHT = 4
"""Largest number of concurrent calls with several events each, unless the user sets another."""

# More than calls with several events, because each of these carries only one event.
_SINGLES_IN_FLIGHT = 16
# These codes lead to single calls, because the sidecar answers them for the whole call although one
# event may be the cause (over gRPC it never names the event; seen with Dapr 1.18), or because the
# sidecar does not have the bulk call.
_ANSWERED_FOR_ALL = frozenset(
    {
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)


class Outgoing:
    """An event to send, encoded in the CloudEvents JSON format."""

    # Slots, because thousands of events may be pending.
    __slots__ = ("body", "size", "topic")

    def __init__(self, topic: str, body: bytes) -> None:
        self.topic = topic
        self.body = body
        self.size = len(body) + ENTRY_BYTES
        """Size of the event in a call, in bytes."""


class Chunk:
    """The events of one call, all of one topic."""

    def __init__(self, first: int) -> None:
        self.first = first
        """Index of the first event among all events of the topic."""
        self.origins: list[Origin] = []
        """The sources of the events, for the reports of failures."""
        self.bodies: list[bytes] = []
        """The events in JSON, for the sidecar."""


class Chunks:
    """The events of one topic, split into chunks. A chunk has the events of one call.

    A chunk has at most `MAX_EVENTS` events and `MAX_BYTES` bytes. A larger event has a chunk of its
    own.
    """

    def __init__(self) -> None:
        self.count = 0
        """Number of events that were added."""
        self._chunks: deque[Chunk] = deque()
        self._bytes = 0

    def add(self, event: Encoded) -> None:
        """Appends an event to the last chunk, or to a new chunk if the event does not fit there."""
        size = len(event.body) + ENTRY_BYTES
        self._bytes += size
        full = not self._chunks or len(self._chunks[-1].bodies) == MAX_EVENTS
        if full or self._bytes > MAX_BYTES:
            self._chunks.append(Chunk(self.count))
            self._bytes = size
        self._chunks[-1].origins.append(event.to_origin())
        self._chunks[-1].bodies.append(event.body)
        self.count += 1

    def pop_all(self) -> Iterator[Chunk]:
        """Yields the chunks in order. Each chunk is removed from this object when it is yielded."""
        # Removed, because memory of accepted events must be free while others are being sent.
        while self._chunks:
            yield self._chunks.popleft()


class Sender:
    """Publishes to one pub/sub component by calls to the sidecar."""

    def __init__(self, transport: Transport, pubsub_name: str) -> None:
        """Does no I/O.

        Args:
            transport: Transport for the calls. The caller closes it.
            pubsub_name: Name of the pub/sub component.
        """
        self._transport = transport
        self._pubsub_name = pubsub_name

    async def publish(self, event: Outgoing, budget: Budget) -> None:
        """Sends one event.

        Args:
            event: The event to send.
            budget: Time that is left for the call. With no time left, nothing is sent.

        Raises:
            DeadlineExceededError: The sidecar did not answer in time, or no time was left.
            VirtufinError: The sidecar did not accept the event for another reason.
        """
        if budget.left() == 0.0:
            raise self._make_expired_error(event.topic, budget)
        request = api_v1.PublishEventRequest(
            pubsub_name=self._pubsub_name,
            topic=event.topic,
            data=event.body,
            data_content_type=cloudevents_json.CONTENT_TYPE,
        )
        try:
            await self._transport.call(endpoint.PUBLISH_EVENT, request, budget, topic=event.topic)
        except VirtufinError as error:
            raise add_hint(error) from None

    async def publish_bulk(
        self, events: Sequence[Outgoing], budget: Budget
    ) -> list[VirtufinError | None]:
        """Sends events of one topic in one call, and in further calls if that fails as a whole.

        A failed call of which one event may be the cause (`_ANSWERED_FOR_ALL`) is followed by a
        call for each event alone. Some events may then arrive twice.

        Args:
            events: The events to send, at least one, all of one topic.
            budget: Time that is left for all calls together. With no time left, nothing is sent.

        Returns:
            For each event, in order, the error of its failure, or None if the sidecar accepted the
            event. Failures are not raised.
        """
        if len(events) == 1:
            return await self._publish_each(events, budget)
        topic = events[0].topic
        if budget.left() == 0.0:
            return [self._make_expired_error(topic, budget)] * len(events)
        request = api_v1.BulkPublishRequest(pubsub_name=self._pubsub_name, topic=topic)
        entries = request.entries
        for number, event in enumerate(events):
            # Set one by one, because that takes half of the time of keyword arguments.
            entry = entries.add()
            entry.entry_id = str(number)
            entry.event = event.body
            entry.content_type = cloudevents_json.CONTENT_TYPE
        try:
            reply = await self._transport.call(endpoint.BULK_PUBLISH, request, budget, topic=topic)
        except VirtufinError as error:
            if isinstance(error, grpc.RpcError) and error.code() in _ANSWERED_FOR_ALL:
                return await self._publish_each(events, budget)
            refusal: list[VirtufinError | None] = [_drop_traceback(add_hint(error))]
            return refusal * len(events)
        if not reply.failedEntries:
            return [None] * len(events)
        refused = {entry.entry_id: entry.error for entry in reply.failedEntries}
        outcome = [
            self._make_entry_error(topic, refused.pop(number)) if number in refused else None
            for number in map(str, range(len(events)))
        ]
        if refused:
            # No event counts as accepted, because the sidecar named entries that the call does not
            # have, so the failed events are unknown.
            return [self._make_entry_error(topic, next(iter(refused.values())))] * len(events)
        return outcome

    async def publish_chunks(self, topic: str, chunks: Chunks, budget: Budget) -> None:
        """Sends each chunk with `publish_bulk`, at most `IN_FLIGHT` of them concurrently.

        Args:
            topic: The topic to publish to.
            chunks: The events to send. A chunk is removed from this object when its call starts.
            budget: Time that is left for all calls together.

        Raises:
            PublishFailedError: The sidecar did not accept some events.
        """
        failed: list[FailedEvent] = []

        async def send(chunk: Chunk) -> None:
            errors = await self.publish_bulk(
                [Outgoing(topic, body) for body in chunk.bodies], budget
            )
            for place, error in enumerate(errors):
                if error is not None:
                    index, origin = chunk.first + place, chunk.origins[place]
                    failed.append(FailedEvent(index, topic, error, origin))

        await run_concurrently(send, chunks.pop_all(), IN_FLIGHT)
        if failed:
            raise make_publish_failed_error(failed, chunks.count - len(failed))

    async def _publish_each(
        self, events: Sequence[Outgoing], budget: Budget
    ) -> list[VirtufinError | None]:
        outcome: list[VirtufinError | None] = [None] * len(events)

        async def send(place: int) -> None:
            try:
                await self.publish(events[place], budget)
            except VirtufinError as error:
                outcome[place] = _drop_traceback(error)

        await run_concurrently(send, range(len(events)), min(len(events), _SINGLES_IN_FLIGHT))
        return outcome

    def _make_expired_error(self, topic: str, budget: Budget) -> VirtufinError:
        return expired(
            budget,
            peer=self._transport.peer,
            method=endpoint.PUBLISH_EVENT.full_name,
            topic=topic,
        )

    def _make_entry_error(self, topic: str, text: str) -> VirtufinError:
        """Returns the error of one event of a call that the sidecar accepted only in part.

        Args:
            topic: Topic of the event.
            text: Text that the sidecar reported for the event.
        """
        # INTERNAL, because the sidecar reports only a text for an entry. Redacted, because that
        # text may contain the token.
        details = self._transport.credentials.redact(text)
        error = from_status(
            grpc.StatusCode.INTERNAL,
            details,
            details=details,
            peer=self._transport.peer,
            method=endpoint.BULK_PUBLISH.full_name,
            topic=topic,
            attempt=1,
        )
        return add_hint(error)


def _drop_traceback(error: VirtufinError) -> VirtufinError:
    """Removes the traceback of an error and returns the error."""
    # Removed, because a kept error would keep the frames of its traceback, and these hold whole
    # requests.
    return error.with_traceback(None)
