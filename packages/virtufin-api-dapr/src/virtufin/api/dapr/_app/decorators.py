"""How handlers are registered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from .registry import BulkDelivery, Registrations

Handler = TypeVar("Handler", bound=Callable[..., Any])


class Decorators:
    """The registering half of `DaprApp`; each decorator returns the function as it was."""

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

        A topic may have several handlers, each with a rule of its own, and one without, which gets
        what no rule chose. The first rule that holds decides, in the order of registration.
        Without a default the sidecar drops what no rule chose (or keeps it on the dead-letter
        topic). The settings of a topic are those that its first handler gives.

        Args:
            topic: The topic.
            pubsub_name: The pub/sub component; not given means the app's.
            match: Rule in CEL that an event must fulfil, such as
                `event.type == "com.virtufin.x"`. See "How-To: Route messages" in the Dapr docs.
            dead_letter_topic: Where the sidecar puts events that were dropped, and those whose
                redelivery its resiliency policy gave up; without a policy that is at the first
                RETRY.
            bulk: True, or how: many events in one delivery.
            metadata: For the component's own settings of a subscription.
            path: What the sidecar says to name this handler; the path in the subscription file
                where the subscription is declared, else free to choose.
            declared: The sidecar has the subscription from a file (kind `Subscription`), so that it
                is not told of it.

        Raises:
            InvalidInputError: An argument cannot be used, the handler is no function, or another
                one is registered for the same.
            FailedPreconditionError: The app is running.

        Example:
            >>> from virtufin.api.dapr import DaprApp
            >>> app = DaprApp()
            >>> @app.subscribe("orders", match='event.type == "order.cancelled"')
            ... async def on_cancelled(event): ...
            >>> @app.subscribe("orders", dead_letter_topic=None)
            ... async def on_order(event): ...
        """
        self._check_idle()

        def register(handler: Handler) -> Handler:
            self._check_idle()
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

        The handler returns None, text, bytes, or anything JSON can hold. What it raises becomes a
        gRPC status by its meaning: `NotFoundError` is NOT_FOUND, `InvalidInputError` and
        `InvalidRequestError` are INVALID_ARGUMENT, what is no `VirtufinError` is INTERNAL.

        Raises:
            InvalidInputError: The name is empty or taken, or the handler is no function.
            FailedPreconditionError: The app is running.

        Example:
            >>> from virtufin.api.dapr import DaprApp
            >>> app = DaprApp()
            >>> @app.method("quote")
            ... async def quote(request):
            ...     return {"symbol": request.data_as_json()["symbol"], "price": 1.5}
        """

        def register(handler: Handler) -> Handler:
            self._check_idle()
            self._registrations.add_method(handler, name)
            return handler

        return register

    def binding(self, name: str) -> Callable[[Handler], Handler]:
        """Registers the handler of an input binding: `handler(request: BindingRequest)`.

        What it returns is the data of the answer. Raising tells the sidecar that it failed; whether
        the same comes again is up to the binding.

        Raises:
            InvalidInputError: The name is empty or taken, or the handler is no function.
            FailedPreconditionError: The app is running.

        Example:
            >>> from virtufin.api.dapr import DaprApp
            >>> app = DaprApp()
            >>> @app.binding("clock")
            ... async def on_tick(request):
            ...     print(request.data_as_text())
        """

        def register(handler: Handler) -> Handler:
            self._check_idle()
            self._registrations.add_binding(handler, name)
            return handler

        return register

    def health_check(self, handler: Handler) -> Handler:
        """Registers the function that says whether the app is healthy: `handler()`.

        It is not, while this returns False or raises; the sidecar then delivers nothing. Without
        one the app is healthy until it begins to end.

        Raises:
            InvalidInputError: There is one already, or it is no function.
            FailedPreconditionError: The app is running.

        Example:
            >>> from virtufin.api.dapr import DaprApp
            >>> app = DaprApp()
            >>> @app.health_check
            ... async def healthy():
            ...     return True
        """
        self._check_idle()
        self._registrations.add_health_check(handler)
        return handler

    def _check_idle(self) -> None:
        """Refuses a registration of which the sidecar would not learn."""
        raise NotImplementedError
