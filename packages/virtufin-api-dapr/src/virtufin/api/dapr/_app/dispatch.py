"""Calls of handlers for events, methods and bindings, and the answers to the sidecar.

This module does not depend on a server, so that the app's own server and an attached one give the
same answers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import grpc

from virtufin.api.client._asyncio import call_user
from virtufin.api.client._backends import unknown_name
from virtufin.api.client._json import BINARY, JSON, TEXT, to_json
from virtufin.api.client._subscriptions import is_request
from virtufin.api.client._validation import short_repr
from virtufin.api.client.errors import InvalidInputError, InvalidRequestError, VirtufinError
from virtufin.api.client.events import PubsubEvent
from virtufin.api.dapr._publishing import DaprPublisher

from .handler_pool import AppStoppingError, HandlerCancelledError, HandlerPool
from .handler_types import BindingRequest, Drop, InvocationRequest, Outcome
from .registry import Function, Registrations, Route
from .reply_publisher import ReplyPublisher
from .status_errors import StatusError, describe_error, to_status_error

logger = logging.getLogger("virtufin.api.dapr.app")

OnError = Callable[[Exception], Any]
"""A function, plain or async, that is called with errors of handlers and replies."""


class Dispatch:
    """Finds and calls the handler of each delivery, and decides the answer to the sidecar.

    Args:
        registrations: The registered handlers.
        work: Pool that the handlers run in.
        replies: Publisher of the replies to requests. A request is an event that carries
            `replytopic` and `correlationid`.
        on_error: Function that is called with each error. None means only the log.
        redact: Function that removes secrets from texts that leave the app.
    """

    def __init__(
        self,
        registrations: Registrations,
        work: HandlerPool,
        replies: ReplyPublisher,
        on_error: OnError | None,
        redact: Callable[[str], str],
    ) -> None:
        self.registrations = registrations
        self._work = work
        self._replies = replies
        self._on_error = on_error
        self._redact = redact

    async def handle_event(self, pubsub_name: str, path: str, event: PubsubEvent) -> Outcome:
        """Calls the handler of one event and returns the outcome to answer the sidecar.

        Args:
            pubsub_name: Pub/sub component that delivered the event.
            path: Path that the sidecar sent with the event, which names the handler. May be empty.
            event: The event.
        """
        route = self.registrations.find_route(pubsub_name, event.topic, path)
        if route is None:
            # RETRY and not DROP, because the next version of the app may have the handler, and a
            # dropped event would be lost.
            logger.error(
                "no handler for topic %r of %r (path %r); event %s will be delivered again",
                event.topic, pubsub_name, path, event.message_id,
            )  # fmt: skip
            return Outcome.RETRY
        try:
            return await self._work.run(lambda: self._handle(route, event))
        except AppStoppingError:
            # RETRY, because another instance of the app can handle the event.
            return Outcome.RETRY
        except HandlerCancelledError as error:
            return await self._handle_failure(f"handler of {_name_event(event)}", error)

    async def invoke(self, request: InvocationRequest) -> tuple[bytes, str]:
        """Calls the handler of a method.

        Args:
            request: The call.

        Returns:
            The data and the media type of the answer.

        Raises:
            StatusError: The app has no such method, the handler failed, or the app is stopping. The
                error holds the gRPC status for the sidecar.
        """
        methods = self.registrations.methods
        function = methods.get(request.method)
        if function is None:
            unknown = unknown_name("method", request.method, "the app", sorted(methods))
            raise StatusError(grpc.StatusCode.UNIMPLEMENTED, unknown.text)
        return await self._call(f"method {request.method!r}", function, request)

    async def handle_binding(self, request: BindingRequest) -> bytes:
        """Calls the handler of an input binding.

        Args:
            request: The data and its metadata.

        Returns:
            The data of the answer.

        Raises:
            StatusError: The app has no such binding, the handler failed, or the app is stopping.
                The error holds the gRPC status for the sidecar.
        """
        function = self.registrations.bindings.get(request.name)
        if function is None:
            reason = f"the app has no handler for binding {request.name!r}"
            raise StatusError(grpc.StatusCode.UNIMPLEMENTED, reason)
        data, _ = await self._call(f"binding {request.name!r}", function, request)
        return data

    async def check_health(self) -> None:
        """Calls the health check of the app and returns if the app is healthy.

        Raises:
            StatusError: The app is unhealthy or stopping (UNAVAILABLE).
        """
        unavailable = grpc.StatusCode.UNAVAILABLE
        if self._work.draining:
            raise StatusError(unavailable, str(AppStoppingError()))
        check = self.registrations.health_check
        if check is None:
            return
        try:
            healthy = await call_user(check)
        except Exception as error:  # noqa: BLE001 - because any error means an unhealthy app
            await self._handle_failure("health check", error)
            raise StatusError(unavailable, self._redact(describe_error(error))) from None
        # Only False, because a function that returns nothing and does not raise is healthy too.
        if healthy is False:
            raise StatusError(unavailable, "the app says that it is not healthy")

    # Events

    async def _handle(self, route: Route, event: PubsubEvent) -> Outcome:
        try:
            result = await call_user(route.handler, event)
        except Drop as drop:
            return await self._drop(route, event, drop)
        except Exception as error:  # noqa: BLE001 - because any error requests another delivery
            return await self._handle_failure(f"handler of {_name_event(event)}", error)
        if result is None or not is_request(event):
            return Outcome.SUCCESS
        try:
            await self._replies.reply(route.pubsub_name, event, result)
        except InvalidInputError as error:
            await self._handle_failure(f"reply to {_name_event(event)}", error)
            await self._report_failure(route, event, error)
            # DROP and not RETRY, because the handler would return the same data again.
            return Outcome.DROP
        except VirtufinError as error:
            # RETRY, because the sidecar may accept the reply after the next delivery.
            return await self._handle_failure(f"reply to {_name_event(event)}", error)
        return Outcome.SUCCESS

    async def _drop(self, route: Route, event: PubsubEvent, drop: Drop) -> Outcome:
        logger.warning("%s was dropped by its handler: %s", _name_event(event), drop.reason)
        cause = drop.__cause__
        if not isinstance(cause, VirtufinError):
            cause = InvalidRequestError(drop.reason)
        await self._report_failure(route, event, cause)
        return Outcome.DROP

    async def _report_failure(self, route: Route, event: PubsubEvent, error: BaseException) -> None:
        if not is_request(event):
            return
        try:
            await self._replies.reply_failure(route.pubsub_name, event, error)
        except VirtufinError as failure:
            await self._handle_failure(f"reporting the failure of {_name_event(event)}", failure)

    # Calls

    async def _call(self, what: str, function: Function, request: object) -> tuple[bytes, str]:
        async def answer() -> tuple[bytes, str]:
            return encode_payload(await call_user(function, request))

        try:
            return await self._work.run(answer)
        except AppStoppingError as ending:
            raise StatusError(grpc.StatusCode.UNAVAILABLE, str(ending)) from None
        except Exception as error:  # noqa: BLE001 - because every failure is reported to the caller
            await self._handle_failure(what, error)
            raise to_status_error(error, self._redact) from None

    async def _handle_failure(self, what: str, error: Exception) -> Outcome:
        """Logs a failure, calls `on_error`, and returns the outcome for an event: RETRY."""
        logger.error("%s failed", what, exc_info=error)
        if self._on_error is not None:
            try:
                await call_user(self._on_error, error)
            # Logged only, because the sidecar must get an answer whatever `on_error` does.
            except Exception:
                logger.exception("on_error failed on %s", short_repr(error))
        return Outcome.RETRY


def encode_payload(value: object) -> tuple[bytes, str]:
    """Returns the data and the media type for a value that a handler returned.

    Both are empty for None.

    Raises:
        InvalidInputError: JSON cannot hold the value.
    """
    if value is None:
        return b"", ""
    if isinstance(value, str):
        return value.encode(), TEXT
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value), BINARY
    return to_json(value, "the answer").encode(), JSON


def _name_event(event: PubsubEvent) -> str:
    return f"event {event.message_id!r} of topic {event.topic!r}"


class Core:
    """The parts that an app needs to handle deliveries, until it is drained; in one event loop.

    `work` is the pool that the handlers run in. `dispatch` calls the handlers.

    Args:
        registrations: The registered handlers.
        max_concurrency: Largest number of handlers that run concurrently.
        on_error: Function that is called with each error. None means only the log.
        publisher: Function that creates the publisher of replies for a pub/sub component.
        redact: Function that removes secrets from texts that leave the app.
    """

    def __init__(
        self,
        registrations: Registrations,
        *,
        max_concurrency: int,
        on_error: OnError | None,
        publisher: Callable[[str], DaprPublisher],
        redact: Callable[[str], str],
    ) -> None:
        self.work = HandlerPool(max_concurrency)
        self._replies = ReplyPublisher(publisher, redact)
        self.dispatch = Dispatch(registrations, self.work, self._replies, on_error, redact)

    async def drain(self, grace: float) -> None:
        """Drains the handlers, and then closes the connections that replies were published over.

        Args:
            grace: Seconds that running handlers may take.
        """
        try:
            await self.work.drain(grace)
        finally:
            # Last, because handlers that finish in the grace time still publish replies.
            await self._replies.close()
