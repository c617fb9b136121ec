"""Results of publishing several events: the returned value, the failed events, and the error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, cast

from virtufin.api.client._error_mapping import wrap_error
from virtufin.api.client.errors import VirtufinError
from virtufin.api.client.results import StatusResult
from virtufin.api.protos.cloudevents_pb2 import CloudEvent

from .encoding import Origin


class PublishManyResult(StatusResult):
    """Result of `publish_many_async` after the sidecar has accepted every event."""

    published: int
    """Number of accepted events."""


@dataclass(frozen=True, slots=True)
class FailedEvent:
    """An event that the sidecar did not accept, or whose acceptance it did not confirm."""

    index: int
    """Position among the events that were passed to the publisher or batch, from 0."""
    topic: str
    """Topic that the event was meant for."""
    error: VirtufinError
    """Reason of the failure."""
    # No message, because thousands of failures may be kept and the garbage collector would visit
    # each message again and again.
    origin: Origin = field(repr=False)
    """The source of `event`; not meant for other use."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickled as a serialized message, because a template holds objects of the publisher.
        return FailedEvent, (self.index, self.topic, self.error, self.serialized)

    @property
    def event(self) -> CloudEvent:
        """The event as a CloudEvent message, made again at each access.

        Publishing this message sends the event again, with the same id.
        """
        if isinstance(self.origin, bytes):
            return CloudEvent.FromString(self.origin)
        return self.origin.to_message()

    @property
    def serialized(self) -> bytes:
        """The event as a serialized CloudEvent message."""
        return self.event.SerializeToString()


class PublishFailedError(VirtufinError):
    """An error that lists the events that the sidecar did not accept.

    If all of them failed for one cause, the error is also an instance of the class of that cause,
    such as `UnavailableError`. If the cause is a `grpc.RpcError`, so is the error.

    Attributes:
        failed: The failed events, each with its error, in the order in which they were passed.
        published: Number of accepted events.

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


def make_publish_failed_error(failed: Sequence[FailedEvent], published: int) -> PublishFailedError:
    """Returns the error that lists failed events.

    Args:
        failed: The failed events in any order, at least one.
        published: Number of events that the sidecar has accepted.
    """
    # Sorted, because calls run concurrently and fail in any order.
    ordered = tuple(sorted(failed, key=attrgetter("index")))
    first = ordered[0].error
    # Compared by class, because each error is an object of its own, even for one cause.
    one_cause = len({type(one.error) for one in ordered}) == 1
    topics = {one.topic for one in ordered}
    error = wrap_error(
        PublishFailedError,
        f"{len(ordered)} of {published + len(ordered)} events were not accepted by the sidecar; "
        f"the first: {first.message}",
        first if one_cause else None,
        topic=topics.pop() if len(topics) == 1 else None,
        failed=ordered,
        published=published,
    )
    return cast("PublishFailedError", error)
