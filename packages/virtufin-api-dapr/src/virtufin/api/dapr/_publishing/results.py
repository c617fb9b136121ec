"""What became of several events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import cast

from virtufin.api.client._error_mapping import caused_by
from virtufin.api.client.errors import VirtufinError
from virtufin.api.client.results import StatusResult
from virtufin.api.protos.cloudevents_pb2 import CloudEvent


class PublishManyResult(StatusResult):
    """Outcome of `publish_many_async`, where every event was accepted."""

    published: int


@dataclass(frozen=True, slots=True)
class FailedEvent:
    """One event whose acceptance the sidecar did not confirm."""

    index: int
    """Its place among the events that were given, from 0."""
    topic: str
    """Where it was to go."""
    error: VirtufinError
    """Why it failed."""
    serialized: bytes = field(repr=False)
    """The event as a serialized CloudEvent message."""

    @property
    def event(self) -> CloudEvent:
        """The event, a new message each time; published again as it is, it keeps its id."""
        return CloudEvent.FromString(self.serialized)


class PublishFailedError(VirtufinError):
    """Some of several events were not accepted by the sidecar.

    Where all of them failed for one cause, the error is also of the class of that cause, such as
    `UnavailableError`, and a `grpc.RpcError` where the cause is one.

    Attributes:
        failed: The events, each with its error, in the order in which they were given.
        published: Number of events that were accepted.

    Example:
        >>> from virtufin.api.dapr import DaprPublisher, PublishFailedError
        >>> async def publish(publisher: DaprPublisher, prices: list[float]) -> None:
        ...     try:
        ...         await publisher.publish_many_async("prices", prices)
        ...     except PublishFailedError as error:
        ...         again = [failed.event for failed in error.failed]
        ...         await publisher.publish_many_async("prices", again)
    """

    failed: tuple[FailedEvent, ...] = ()
    published: int = 0


OnFailed = Callable[[FailedEvent], "Awaitable[object] | object"]
"""A function, plain or async, that is called with each event that failed."""


def publish_failed(failed: Sequence[FailedEvent], published: int) -> PublishFailedError:
    """The error that names these events."""
    ordered = tuple(sorted(failed, key=attrgetter("index")))
    first = ordered[0].error
    one_cause = len({type(one.error) for one in ordered}) == 1
    topics = {one.topic for one in ordered}
    error = caused_by(
        PublishFailedError,
        f"{len(ordered)} of {published + len(ordered)} events were not accepted by the sidecar; "
        f"the first: {first.message}",
        first if one_cause else None,
        topic=topics.pop() if len(topics) == 1 else None,
        failed=ordered,
        published=published,
    )
    return cast("PublishFailedError", error)
