"""The registered handlers of an app: topics with their routes, methods and bindings.

A route leads the events of a topic that fulfil a rule to one handler.
"""

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

_LONGEST_AWAIT = (2**31 - 1) / 1000  # because Dapr's message has milliseconds in 32 bits


@dataclass(frozen=True)
class BulkDelivery:
    """Settings of bulk delivery, in which the sidecar delivers several events in one call.

    The handler is still called with single events. The events of one call are handled concurrently,
    within the app's `max_concurrency`, and each event has its own outcome.

    Raises:
        InvalidInputError: A setting is out of its range or has the wrong type.
    """

    max_events: int = 100
    """Largest number of events in one call, at least 1."""
    max_await: float = 0.1
    """Seconds that the sidecar waits for further events before it makes the call, above 0."""

    def __post_init__(self) -> None:
        require_whole("max_events", self.max_events, 1)
        require_positive("max_await", self.max_await, _LONGEST_AWAIT)


@dataclass(frozen=True)
class Route:
    """A route: a handler and the rule that chooses its events."""

    pubsub_name: str
    topic: str
    handler: Function
    path: str
    """The path by which the sidecar names this route. Empty for a default route without a path."""
    match: str | None
    """The rule, in CEL. None for the default route, which gets the events that fulfil no rule."""


@dataclass
class Topic:
    """A subscription to one topic: its settings and its routes."""

    pubsub_name: str
    name: str
    declared: bool
    """True if the sidecar reads the subscription from a file and the app must not report it."""
    dead_letter_topic: str | None = None
    bulk: BulkDelivery | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    routes: list[Route] = field(default_factory=list)

    @property
    def default(self) -> Route | None:
        """The route of events that fulfil no rule. None if every route has a rule."""
        return next((route for route in self.routes if route.match is None), None)

    def get_path(self, route: Route) -> str:
        """Returns the path that the app reports to the sidecar for a route.

        The sidecar sends this path with each event of the route. Empty means no path.

        Args:
            route: A route of this topic.
        """
        # A default route beside rules gets a path, because a sidecar takes an empty path there for
        # a missing default route.
        alone = self.declared or len(self.routes) == 1
        return route.path or ("" if alone else f"{self.name}/default")


class Registrations:
    """The registered handlers of one app. Registering a handler that could not work raises."""

    def __init__(self) -> None:
        self.methods: dict[str, Function] = {}
        self.bindings: dict[str, Function] = {}
        self.health_check: Function | None = None
        self._topics: dict[tuple[str, str], Topic] = {}

    @property
    def topics(self) -> Iterator[Topic]:
        """The subscriptions in the order of their registration."""
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
        """Registers a handler of events; see `Decorators.subscribe` for the arguments.

        Raises:
            InvalidInputError: An argument is invalid, or the rule or path is taken.
        """
        function = require_function(handler)
        wanted = Topic(
            require_name(pubsub_name, "pubsub_name"),
            require_name(topic, "topic"),
            declared,
            None
            if dead_letter_topic is None
            else require_name(dead_letter_topic, "dead_letter_topic"),
            _require_bulk(bulk),
            _require_metadata(metadata),
        )
        if match is not None:
            require_name(match, "match")
        if path is not None:
            require_name(path, "path")
        known = self._topics.get((wanted.pubsub_name, topic))
        if known is not None:
            _require_same_settings(known, wanted)
        into = known or wanted
        if declared and match is not None and path is None:
            raise InvalidInputError(
                "a declared route is known by its path: give path=, as the subscription file does"
            )
        # Numbered, because rules of one topic need paths that differ.
        chosen = path or ("" if match is None else f"{topic}/{len(into.routes)}")
        self._require_free_route(into, match, chosen)
        into.routes.append(Route(into.pubsub_name, topic, function, chosen, match))
        # Stored last, because a refused handler must leave no subscription behind.
        self._topics.setdefault((wanted.pubsub_name, topic), into)

    def add_method(self, handler: object, method: str) -> None:
        """Registers the handler of a method that other services invoke.

        Raises:
            InvalidInputError: The name is empty or taken, or the handler is not a function.
        """
        _add(self.methods, require_name(method, "method"), handler, "method")

    def add_binding(self, handler: object, binding: str) -> None:
        """Registers the handler of an input binding.

        Raises:
            InvalidInputError: The name is empty or taken, or the handler is not a function.
        """
        _add(self.bindings, require_name(binding, "binding"), handler, "binding")

    def add_health_check(self, handler: object) -> None:
        """Registers the health check of the app.

        Raises:
            InvalidInputError: A health check is registered already, or this is not a function.
        """
        if self.health_check is not None:
            raise InvalidInputError("there is a health check already")
        self.health_check = require_function(handler)

    def find_route(self, pubsub_name: str, topic: str, path: str) -> Route | None:
        """Returns the route of an event, or None if no handler is registered for the event.

        The route is the first of these: the route with this path and topic; the first route with
        this path; the default route of the topic.

        Args:
            pubsub_name: Pub/sub component that delivered the event.
            topic: Topic of the event.
            path: Path that the sidecar sent with the event. May be empty.
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
            # By path alone, because a subscription may name a pattern of topics.
            if by_path:
                return by_path[0]
        entry = self._topics.get((pubsub_name, topic))
        return None if entry is None else entry.default

    def _require_free_route(self, topic: Topic, match: str | None, path: str) -> None:
        for route in topic.routes:
            if route.match == match:
                what = f"match {match!r}" if match else "one without match"
                raise InvalidInputError(
                    f"topic {topic.name!r} of {topic.pubsub_name!r} has a handler already "
                    f"({what}); several need different match="
                )
            if path and route.path == path:
                raise InvalidInputError(f"path {path!r} of topic {topic.name!r} is taken")


def require_function(handler: object, what: str = "handler") -> Function:
    """Verifies that a value is a function or coroutine function, and returns the value.

    Args:
        handler: The value.
        what: Name of the value in the error text.

    Raises:
        InvalidInputError: The value is not callable, is a class, or is a generator function, whose
            code would never run.
    """
    if inspect.isclass(handler):
        raise InvalidInputError(f"{what} is the class {handler.__name__}; give a function")
    if not callable(handler):
        raise InvalidInputError(f"{what} must be a function, not {short_repr(handler)}")
    # `__call__` too, because a callable object may be a generator function by that method.
    for called in (handler, type(handler).__call__):
        if inspect.isasyncgenfunction(called) or inspect.isgeneratorfunction(called):
            raise InvalidInputError(f"{what} is a generator: it must not yield, or it never runs")
    return handler


def _add(handlers: dict[str, Function], key: str, handler: object, what: str) -> None:
    function = require_function(handler)
    if key in handlers:
        raise InvalidInputError(f"{what} {key!r} has a handler already")
    handlers[key] = function


def _require_bulk(bulk: object) -> BulkDelivery | None:
    if isinstance(bulk, BulkDelivery):
        return bulk
    if not isinstance(bulk, bool):
        raise InvalidInputError(f"bulk must be True, False or BulkDelivery, not {short_repr(bulk)}")
    return BulkDelivery() if bulk else None


def _require_metadata(metadata: Mapping[str, str] | None) -> dict[str, str]:
    if metadata is not None and not isinstance(metadata, Mapping):
        raise InvalidInputError(f"metadata must be a mapping, not {short_repr(metadata)}")
    # Checked here, because a value that is not text would fail only when the sidecar fetches the
    # subscriptions.
    return {
        require_name(key, "a key of metadata"): require_text(value, f"metadata {key!r}")
        for key, value in (metadata or {}).items()
    }


def _require_same_settings(known: Topic, wanted: Topic) -> None:
    """Verifies that a further handler of a topic does not change the settings of the topic.

    Raises:
        InvalidInputError: A setting differs from that of the first handler.
    """
    # Refused, because all handlers of a topic share one subscription at the sidecar.
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
