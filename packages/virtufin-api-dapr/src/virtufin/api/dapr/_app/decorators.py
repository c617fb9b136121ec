"""The decorators that register handlers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from .registry import BulkDelivery, Registrations

# A type variable, because a decorated function must keep its type for type checkers.
Handler = TypeVar("Handler", bound=Callable[..., Any])


class Decorators:
    """The decorators of `DaprApp`. Each decorator returns the function unchanged."""

    def __init__(self, pubsub_name: str) -> None:
        self._pubsub_name = pubsub_name
        self._registrations = Registrations()

    def subscribe(
        self,
        topic: str,
        pubsub_name: str | None = None,
        *,
        match: str | None = None,
        dead_letter_topic: str | None = None,
        bulk: bool | BulkDelivery = False,
        metadata: Mapping[str, str] | None = None,
        path: str | None = None,
        declared: bool = False,
    ) -> Callable[[Handler], Handler]:
        """Registers the handler of a topic's events: `handler(event: PubsubEvent)`.

        A topic may have several handlers: each with a rule of its own, and one without a rule,
        which is the default handler. The first rule that an event fulfils, in the order of
        registration, chooses the handler. Events that fulfil no rule go to the default handler.
        Without a default handler, the sidecar drops these events or puts them on the dead-letter
        topic. The arguments of the first handler set `dead_letter_topic`, `bulk`, `metadata` and
        `declared` for the whole topic.

        Args:
            topic: The topic.
            pubsub_name: The pub/sub component. If omitted, the app's.
            match: Rule in CEL that an event must fulfil, such as
                `event.type == "com.virtufin.x"`. See "How-To: Route messages" in the Dapr docs.
                None means the default handler.
            dead_letter_topic: Topic that the sidecar puts dropped events on, and events that its
                resiliency policy no longer redelivers. Without a policy, an event goes there at the
                first RETRY. None means no such topic.
            bulk: True for bulk delivery: the sidecar delivers several events in one call. A
                `BulkDelivery` sets the limits of such a call. The handler gets single events in any
                case.
            metadata: Settings of the subscription that the component itself defines.
            path: Path by which the sidecar names this handler. For a declared subscription, the
                path in the subscription file. If omitted, a path that no other handler has.
            declared: True if the sidecar reads the subscription from a file (kind `Subscription`).
                The app then does not report the subscription to the sidecar.

        Returns:
            The decorator.

        Raises:
            InvalidInputError: An argument is invalid, the handler is not a function, or another
                handler is registered for the same rule or path.
            FailedPreconditionError: The app is running or attached.

        Example:
            >>> from virtufin.api.dapr import DaprApp
            >>> app = DaprApp()
            >>> @app.subscribe("orders", match='event.type == "order.cancelled"')
            ... async def on_cancelled(event): ...
            >>> @app.subscribe("orders", dead_letter_topic=None)
            ... async def on_order(event): ...
        """
        self._require_idle()

        def register(handler: Handler) -> Handler:
            # Checked again, because a decorator may be applied later than `subscribe` is called,
            # and the app may have started or may be attached by then.
            self._require_idle()
            self._registrations.add_subscription(
                handler,
                self._pubsub_name if pubsub_name is None else pubsub_name,
                topic,
                match=match,
                path=path,
                declared=declared,
                dead_letter_topic=dead_letter_topic,
                bulk=bulk,
                metadata=metadata,
            )
            return handler

        return register

    def method(self, name: str) -> Callable[[Handler], Handler]:
        """Registers a method that other services invoke: `handler(request: InvocationRequest)`.

        The handler returns None, text, bytes, or a value that JSON can hold. The class of an error
        that the handler raises decides the gRPC status: `NotFoundError` becomes NOT_FOUND,
        `InvalidInputError` and `InvalidRequestError` become INVALID_ARGUMENT. Errors that are not a
        `VirtufinError` become INTERNAL.

        Args:
            name: Name of the method.

        Returns:
            The decorator.

        Raises:
            InvalidInputError: The name is empty or taken, or the handler is not a function.
            FailedPreconditionError: The app is running or attached.

        Example:
            >>> from virtufin.api.dapr import DaprApp
            >>> app = DaprApp()
            >>> @app.method("quote")
            ... async def quote(request):
            ...     return {"symbol": request.data_as_json()["symbol"], "price": 1.5}
        """

        def register(handler: Handler) -> Handler:
            self._require_idle()
            self._registrations.add_method(handler, name)
            return handler

        return register

    def binding(self, name: str) -> Callable[[Handler], Handler]:
        """Registers the handler of an input binding: `handler(request: BindingRequest)`.

        The value that the handler returns is the data of the answer, as for `method`. If the
        handler raises, the sidecar gets a gRPC error; the binding component decides whether to
        deliver the same data again.

        Args:
            name: Name of the binding component.

        Returns:
            The decorator.

        Raises:
            InvalidInputError: The name is empty or taken, or the handler is not a function.
            FailedPreconditionError: The app is running or attached.

        Example:
            >>> from virtufin.api.dapr import DaprApp
            >>> app = DaprApp()
            >>> @app.binding("clock")
            ... async def on_tick(request):
            ...     print(request.data_as_text())
        """

        def register(handler: Handler) -> Handler:
            self._require_idle()
            self._registrations.add_binding(handler, name)
            return handler

        return register

    def health_check(self, handler: Handler) -> Handler:
        """Registers the health check of the app: `handler()`.

        While the function returns False or raises, the app is unhealthy and the sidecar delivers
        nothing. Any other result, None too, means a healthy app. Without a health check, the app is
        healthy until it begins to stop.

        Args:
            handler: Function or coroutine function without arguments.

        Raises:
            InvalidInputError: A health check is registered already, or `handler` is not a function.
            FailedPreconditionError: The app is running or attached.

        Example:
            >>> from virtufin.api.dapr import DaprApp
            >>> app = DaprApp()
            >>> @app.health_check
            ... async def healthy():
            ...     return True
        """
        self._require_idle()
        self._registrations.add_health_check(handler)
        return handler

    def _require_idle(self) -> None:
        """Verifies that handlers can be registered: the app is neither running nor attached.

        Raises:
            FailedPreconditionError: The app is running or attached.
        """
        # Refused for a running app, because the sidecar has fetched the subscriptions already and
        # would not learn of the handler. Left to the app, because only the app knows whether it is
        # running or attached.
        raise NotImplementedError
