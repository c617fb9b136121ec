"""What an app handles: topics with their routes, methods, bindings."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from virtufin.api.client._validation import (
    require_name,
    require_positive,
    require_text,
    require_whole,
    short_repr,
)
from virtufin.api.client.errors import InvalidInputError

Function = Callable[..., Any]

_LONGEST_AWAIT = (2**31 - 1) / 1000  # Milliseconds in 32 bits.


@dataclass(frozen=True)
class BulkDelivery:
    """Events delivered many in one call; the handler still gets one at a time.

    The events of one delivery are handled side by side, as far as the app's `max_concurrency`
    allows, and each has an outcome of its own.
    """

    max_events: int = 100
    """Events in one delivery at most."""
    max_await: float = 0.1
    """Seconds that the sidecar waits for a delivery to fill."""

    def __post_init__(self) -> None:
        require_whole("max_events", self.max_events, 1)
        require_positive("max_await", self.max_await, _LONGEST_AWAIT)


@dataclass(frozen=True)
class Route:
    """The way of events to one handler."""

    pubsub_name: str
    topic: str
    handler: Function
    path: str
    """What the sidecar says to name this route; empty for a default without one."""
    match: str | None
    """Dapr's rule (CEL) that chooses this route; None for the default."""


@dataclass
class Topic:
    """A subscription: how events of one topic are wanted, and where they go."""

    pubsub_name: str
    name: str
    declared: bool
    """Whether the sidecar knows it from a file and is not to be told."""
    dead_letter_topic: str | None = None
    bulk: BulkDelivery | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    routes: list[Route] = field(default_factory=list)

    @property
    def default(self) -> Route | None:
        """The route of events that no rule chose."""
        return next((route for route in self.routes if route.match is None), None)

    def path(self, route: Route) -> str:
        """What the sidecar is to say for a route; beside rules it takes no path for no default."""
        alone = self.declared or len(self.routes) == 1
        return route.path or ("" if alone else f"{self.name}/default")


class Registrations:
    """Everything that was registered; refuses what could not work."""

    def __init__(self) -> None:
        self.methods: dict[str, Function] = {}
        self.bindings: dict[str, Function] = {}
        self.health_check: Function | None = None
        self._topics: dict[tuple[str, str], Topic] = {}

    @property
    def topics(self) -> Iterator[Topic]:
        """All subscriptions in the order of their registration."""
        return iter(self._topics.values())

    def add_subscription(
        self,
        handler: object,
        pubsub_name: str,
        topic: str,
        *,
        match: str | None,
        path: str | None,
        declared: bool,
        dead_letter_topic: str | None,
        bulk: bool | BulkDelivery,
        metadata: Mapping[str, str] | None,
    ) -> None:
        """Registers a handler of events."""
        function = checked_function(handler)
        wanted = Topic(
            require_name(pubsub_name, "pubsub_name"),
            require_name(topic, "topic"),
            declared,
            None
            if dead_letter_topic is None
            else require_name(dead_letter_topic, "dead_letter_topic"),
            _bulk(bulk),
            _texts(metadata),
        )
        if match is not None:
            require_name(match, "match")
        if path is not None:
            require_name(path, "path")
        known = self._topics.get((wanted.pubsub_name, topic))
        if known is not None:
            _check_same(known, wanted)
        into = known or wanted
        if declared and match is not None and path is None:
            raise InvalidInputError(
                "a declared route is known by its path: give path=, as the subscription file does"
            )
        chosen = path or ("" if match is None else f"{topic}/{len(into.routes)}")
        self._check_route(into, match, chosen)
        into.routes.append(Route(into.pubsub_name, topic, function, chosen, match))
        self._topics.setdefault((wanted.pubsub_name, topic), into)

    def add_method(self, handler: object, method: str) -> None:
        """Registers a handler of calls."""
        _add(self.methods, require_name(method, "method"), handler, "method")

    def add_binding(self, handler: object, binding: str) -> None:
        """Registers a handler of what an input binding brings."""
        _add(self.bindings, require_name(binding, "binding"), handler, "binding")

    def add_health_check(self, handler: object) -> None:
        """Registers the function that knows whether the app is healthy."""
        if self.health_check is not None:
            raise InvalidInputError("there is a health check already")
        self.health_check = checked_function(handler)

    def route(self, pubsub_name: str, topic: str, path: str) -> Route | None:
        """The way of an event: by path and topic, by path, or the topic's default.

        By path alone, because a subscription file may name a pattern of topics.
        """
        routes = [
            route
            for entry in self._topics.values()
            if entry.pubsub_name == pubsub_name
            for route in entry.routes
        ]
        if path:
            by_path = [route for route in routes if route.path == path]
            for route in by_path:
                if route.topic == topic:
                    return route
            if by_path:
                return by_path[0]
        entry = self._topics.get((pubsub_name, topic))
        return None if entry is None else entry.default

    def _check_route(self, topic: Topic, match: str | None, path: str) -> None:
        for route in topic.routes:
            if route.match == match:
                what = f"match {match!r}" if match else "one without match"
                raise InvalidInputError(
                    f"topic {topic.name!r} of {topic.pubsub_name!r} has a handler already "
                    f"({what}); several need different match="
                )
            if path and route.path == path:
                raise InvalidInputError(f"path {path!r} of topic {topic.name!r} is taken")


def checked_function(handler: object, what: str = "handler") -> Function:
    """Returns a function or coroutine function; `what` names it in the error.

    Raises:
        InvalidInputError: It is none, or a generator, which would never run.
    """
    if inspect.isclass(handler):
        raise InvalidInputError(f"{what} is the class {handler.__name__}; give a function")
    if not callable(handler):
        raise InvalidInputError(f"{what} must be a function, not {short_repr(handler)}")
    for called in (handler, type(handler).__call__):
        if inspect.isasyncgenfunction(called) or inspect.isgeneratorfunction(called):
            raise InvalidInputError(f"{what} is a generator: it must not yield, or it never runs")
    return handler


def _add(handlers: dict[str, Function], key: str, handler: object, what: str) -> None:
    function = checked_function(handler)
    if key in handlers:
        raise InvalidInputError(f"{what} {key!r} has a handler already")
    handlers[key] = function


def _bulk(bulk: object) -> BulkDelivery | None:
    if isinstance(bulk, BulkDelivery):
        return bulk
    if not isinstance(bulk, bool):
        raise InvalidInputError(f"bulk must be True, False or BulkDelivery, not {short_repr(bulk)}")
    return BulkDelivery() if bulk else None


def _texts(metadata: Mapping[str, str] | None) -> dict[str, str]:
    if metadata is not None and not isinstance(metadata, Mapping):
        raise InvalidInputError(f"metadata must be a mapping, not {short_repr(metadata)}")
    return {
        require_name(key, "a key of metadata"): require_text(value, f"metadata {key!r}")
        for key, value in (metadata or {}).items()
    }


def _check_same(known: Topic, wanted: Topic) -> None:
    """Handlers of one topic share one subscription, whose settings the first one gave."""
    if known.declared is not wanted.declared:
        raise InvalidInputError(
            f"topic {known.name!r} is declared for one handler and not for another; "
            "the sidecar would drop the declared one"
        )
    for what in ("dead_letter_topic", "bulk", "metadata"):
        given = getattr(wanted, what)
        if given and given != getattr(known, what):
            raise InvalidInputError(
                f"{what} of topic {known.name!r} differs from what its first handler gave: "
                f"{short_repr(given)} and {short_repr(getattr(known, what))}"
            )
