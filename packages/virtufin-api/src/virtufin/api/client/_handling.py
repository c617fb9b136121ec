"""What handles events, and how."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from virtufin.api.client._checks import positive, whole
from virtufin.api.client._shown import shown
from virtufin.api.client.errors import InvalidInputError
from virtufin.api.client.events import PubsubEvent

OnEvent = Callable[[PubsubEvent], Any]
OnError = Callable[[Exception], Any]


@runtime_checkable
class EventHandler(Protocol):
    """An object with `on_event`, and `on_error` where errors matter; both plain or async."""

    def on_event(self, event: PubsubEvent) -> Any:
        """Handles one event."""


@dataclass(frozen=True)
class StreamEventHandler:
    """A handler from functions.

    Args:
        on_event: Called with each `PubsubEvent`; plain or async.
        on_error: Called with each error: an interruption that will be retried
            (`StreamInterruptedError`), what `on_event` raised, and the failure that ended the
            subscription (`StreamFailedError`); plain or async.

    Example:
        >>> from virtufin.api.client import StreamEventHandler
        >>> handler = StreamEventHandler(on_event=lambda event: print(event.topic))
    """

    on_event: OnEvent
    on_error: OnError | None = None


Handler = EventHandler | StreamEventHandler | OnEvent


DeadLetter = Callable[[PubsubEvent], Awaitable[object]]


@dataclass(frozen=True)
class Handling:
    """Which events a handler gets, and what happens to one that it cannot handle."""

    services: tuple[str, ...] = ()
    """Sources `urn:com.virtufin.<service>` that are wanted; empty means all."""
    event_types: tuple[str, ...] = ()
    """Types that are wanted; empty means all."""
    max_concurrency: int = 1
    """Events handled at a time; 1 keeps their order."""
    max_attempts: int = 1
    """How often an event is given to a handler that raises, in all."""
    retry_backoff: float = 0.1
    """Seconds before the second attempt; doubles from attempt to attempt, 30 at most."""
    dead_letter: DeadLetter | None = None
    """Takes the event after the last attempt."""

    def __post_init__(self) -> None:
        whole("max_concurrency", self.max_concurrency, 1)
        whole("max_attempts", self.max_attempts, 1)
        positive("retry_backoff", self.retry_backoff)

    def wants(self, event: PubsubEvent) -> bool:
        """Whether the event is wanted."""
        if self.services and event.service not in self.services:
            return False
        return not self.event_types or event.type in self.event_types


def callbacks(handler: object) -> tuple[OnEvent, OnError | None]:
    """The two functions of a handler.

    Raises:
        InvalidInputError: It is neither a function nor an object with `on_event`.
    """
    on_event = getattr(handler, "on_event", None)
    on_error = getattr(handler, "on_error", None)
    if inspect.isclass(handler):
        raise InvalidInputError(f"handler is the class {handler.__name__}; give an object of it")
    if not callable(on_event):
        if not callable(handler):
            raise InvalidInputError(
                "handler must be a function, or an object with on_event(event), "
                f"not {shown(handler)}"
            )
        on_event, on_error = handler, None
    if on_error is not None and not callable(on_error):
        raise InvalidInputError(f"on_error must be a function, not {shown(on_error)}")
    for function in (on_event, on_error):
        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
            raise InvalidInputError("handler is a generator: it must not yield, or it never runs")
    return on_event, on_error
