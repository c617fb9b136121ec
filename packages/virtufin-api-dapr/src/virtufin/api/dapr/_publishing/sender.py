"""Calls of the sidecar: one event alone, several of one topic in one call, some calls at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import grpc
from dapr.proto import api_v1

from virtufin.api.client._deadlines import Budget
from virtufin.api.client._error_mapping import expired, from_status
from virtufin.api.client._transport import Transport
from virtufin.api.client.errors import VirtufinError
from virtufin.api.dapr._sidecar import cloudevents_json, endpoint, explained

from .encoding import Encoded
from .results import FailedEvent, publish_failed

Item = TypeVar("Item")


async def in_parallel(
    work: Callable[[Item], Awaitable[None]], items: Iterable[Item], limit: int
) -> None:
    """Works on each item, on `limit` of them at a time; cancelling cancels what is being done."""
    left = iter(items)

    async def worker() -> None:
        for item in left:
            await work(item)

    workers = [asyncio.ensure_future(worker()) for _ in range(limit)]
    try:
        await asyncio.wait(workers)
    finally:
        for one in workers:
            one.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    for one in workers:
        one.result()


MAX_EVENTS = 100
"""Events of one call: four to five times as fast as single ones, and more gain nothing."""
MAX_BYTES = 1024 * 1024
"""Bytes of one call, a quarter of what a sidecar takes by default."""
ENTRY_BYTES = 64
"""Bytes that an event costs beside its own."""
IN_FLIGHT = 4
"""Calls with several events at once."""

_SINGLES_IN_FLIGHT = 16
# The sidecar answers these for the whole call although the cause may lie in one of its events (over
# gRPC it never names one; seen with Dapr 1.18), or when it lacks the call.
_ANSWERED_FOR_ALL = frozenset(
    {
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)


@dataclass(eq=False)
class Outgoing:
    """An event that is to be sent."""

    __slots__ = ("body", "topic")

    topic: str
    body: bytes

    @property
    def size(self) -> int:
        """Bytes it takes in a call."""
        return len(self.body) + ENTRY_BYTES


class Chunk:
    """Events of one topic that one call can take."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.events: list[bytes] = []
        self.bodies: list[bytes] = []


class Chunks:
    """Events of one topic in runs that one call can take; one above the limit is alone."""

    def __init__(self) -> None:
        self.count = 0
        self._chunks: deque[Chunk] = deque()
        self._bytes = 0

    def add(self, event: Encoded) -> None:
        """Appends an event."""
        size = len(event.body) + ENTRY_BYTES
        self._bytes += size
        full = not self._chunks or len(self._chunks[-1].events) == MAX_EVENTS
        if full or self._bytes > MAX_BYTES:
            self._chunks.append(Chunk(self.count))
            self._bytes = size
        self._chunks[-1].events.append(event.event)
        self._chunks[-1].bodies.append(event.body)
        self.count += 1

    def taken(self) -> Iterator[Chunk]:
        """Yields each run and lets go of it."""
        while self._chunks:
            yield self._chunks.popleft()


class Sender:
    """Calls of one pub/sub component."""

    def __init__(self, transport: Transport, pubsub_name: str) -> None:
        self._transport = transport
        self._pubsub_name = pubsub_name

    async def one(self, event: Outgoing, budget: Budget) -> None:
        """Sends one event.

        Raises:
            VirtufinError: The sidecar did not accept it.
        """
        if budget.left() == 0.0:
            raise self._expired(event.topic, budget)
        request = api_v1.PublishEventRequest(
            pubsub_name=self._pubsub_name,
            topic=event.topic,
            data=event.body,
            data_content_type=cloudevents_json.CONTENT_TYPE,
        )
        try:
            await self._transport.call(endpoint.PUBLISH_EVENT, request, budget, topic=event.topic)
        except VirtufinError as error:
            raise explained(error) from None

    async def several(
        self, events: Sequence[Outgoing], budget: Budget
    ) -> list[VirtufinError | None]:
        """Sends events of one topic in one call; returns for each why it was not accepted.

        Where the sidecar refuses the call as a whole for what may be the fault of one event, each
        is sent once more, alone.
        """
        if len(events) == 1:
            return await self._each(events, budget)
        topic = events[0].topic
        if budget.left() == 0.0:
            return [self._expired(topic, budget)] * len(events)
        request = api_v1.BulkPublishRequest(pubsub_name=self._pubsub_name, topic=topic)
        for number, event in enumerate(events):
            request.entries.add(
                entry_id=str(number), event=event.body, content_type=cloudevents_json.CONTENT_TYPE
            )
        try:
            reply = await self._transport.call(endpoint.BULK_PUBLISH, request, budget, topic=topic)
        except VirtufinError as error:
            if isinstance(error, grpc.RpcError) and error.code() in _ANSWERED_FOR_ALL:
                return await self._each(events, budget)
            refusal: list[VirtufinError | None] = [_kept(explained(error))]
            return refusal * len(events)
        refused = {entry.entry_id: entry.error for entry in reply.failedEntries}
        outcome = [
            self._refused(topic, refused.pop(number)) if number in refused else None
            for number in map(str, range(len(events)))
        ]
        if refused:
            # Nobody can tell which ones are meant.
            return [self._refused(topic, next(iter(refused.values())))] * len(events)
        return outcome

    async def all(self, topic: str, chunks: Chunks, budget: Budget) -> None:
        """Sends any number of events of one topic, and lets go of them as they are accepted.

        Raises:
            PublishFailedError: Some were not accepted.
        """
        failed: list[FailedEvent] = []

        async def send(chunk: Chunk) -> None:
            errors = await self.several([Outgoing(topic, body) for body in chunk.bodies], budget)
            for place, error in enumerate(errors):
                if error is not None:
                    index, event = chunk.first + place, chunk.events[place]
                    failed.append(FailedEvent(index, topic, error, event))

        await in_parallel(send, chunks.taken(), IN_FLIGHT)
        if failed:
            raise publish_failed(failed, chunks.count - len(failed))

    async def _each(self, events: Sequence[Outgoing], budget: Budget) -> list[VirtufinError | None]:
        outcome: list[VirtufinError | None] = [None] * len(events)

        async def send(place: int) -> None:
            try:
                await self.one(events[place], budget)
            except VirtufinError as error:
                outcome[place] = _kept(error)

        await in_parallel(send, range(len(events)), min(len(events), _SINGLES_IN_FLIGHT))
        return outcome

    def _expired(self, topic: str, budget: Budget) -> VirtufinError:
        return expired(
            budget,
            peer=self._transport.peer,
            method=endpoint.PUBLISH_EVENT.full_name,
            topic=topic,
        )

    def _refused(self, topic: str, text: str) -> VirtufinError:
        """The error of one entry, of which the sidecar says no more than a text."""
        details = self._transport.secrets.redact(text)
        error = from_status(
            grpc.StatusCode.INTERNAL,
            details,
            details=details,
            peer=self._transport.peer,
            method=endpoint.BULK_PUBLISH.full_name,
            topic=topic,
            attempt=1,
        )
        return explained(error)


def _kept(error: VirtufinError) -> VirtufinError:
    """The error without the frames it went through, which hold whole requests."""
    return error.with_traceback(None)
