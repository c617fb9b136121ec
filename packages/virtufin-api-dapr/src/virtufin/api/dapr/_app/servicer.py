"""The gRPC services that a sidecar calls on its app, for grpc.aio."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
from dapr.proto import appcallback_v1, common_v1
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError

from . import messages
from .dispatch import Dispatch
from .handler_types import BindingRequest, InvocationRequest
from .status_errors import StatusError

TOKEN_KEY = "dapr-api-token"
WRONG_TOKEN = f"the call has not the {TOKEN_KEY} that the app demands (APP_API_TOKEN)"

_CALLBACK = "dapr.proto.runtime.v1.AppCallback"
_HEALTH = "dapr.proto.runtime.v1.AppCallbackHealthCheck"
_ALPHA = "dapr.proto.runtime.v1.AppCallbackAlpha"

Behaviour = Callable[[Any, Any], Awaitable[Any]]
"""A gRPC method: a coroutine function of request and context that returns the reply."""


class Servicer:
    """Answers the calls of a sidecar on its app.

    Calls that deliver events, method calls or data of bindings must carry the token. Calls that
    fetch subscriptions, bindings or the health need no token.

    Args:
        dispatch: Dispatch of the app, which calls the handlers.
        token: Token that deliveries must carry. None accepts deliveries without a token.
    """

    def __init__(self, dispatch: Dispatch, token: str | None) -> None:
        self._dispatch = dispatch
        self._token = token

    def make_handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        """Returns the generic gRPC handlers of all served methods, for a server."""
        # Generic, because the protos of dapr 1.16 have `OnBulkTopicEvent` only under its older name
        # with `Alpha1`. daprd calls the newer name first, so both are served.
        bulk = _make_handler(
            self._protect(self.on_bulk_topic_event), appcallback_v1.TopicEventBulkRequest
        )
        callback = {
            "OnInvoke": _make_handler(self._protect(self.on_invoke), common_v1.InvokeRequest),
            "OnTopicEvent": grpc.unary_unary_rpc_method_handler(
                self._protect(self.on_topic_event),
                request_deserializer=_parse_event,
                response_serializer=appcallback_v1.TopicEventResponse.SerializeToString,
            ),
            "OnBulkTopicEvent": bulk,
            "OnBindingEvent": _make_handler(
                self._protect(self.on_binding_event), appcallback_v1.BindingEventRequest
            ),
            # Without the token, because daprd sends none in its own calls.
            "ListTopicSubscriptions": _make_handler(self.list_topic_subscriptions, Empty),
            "ListInputBindings": _make_handler(self.list_input_bindings, Empty),
        }
        return (
            grpc.method_handlers_generic_handler(_CALLBACK, callback),
            grpc.method_handlers_generic_handler(
                _HEALTH, {"HealthCheck": _make_handler(self.health_check, Empty)}
            ),
            grpc.method_handlers_generic_handler(_ALPHA, {"OnBulkTopicEventAlpha1": bulk}),
        )

    async def on_invoke(self, request: Any, context: Any) -> Any:
        """Calls the handler of a method, and answers with the value that it returns."""
        data, content_type = await _await_or_abort(
            context,
            self._dispatch.invoke(
                InvocationRequest(
                    request.data.value,
                    metadata=remove_token(select_texts(context.invocation_metadata())),
                    method=request.method,
                    content_type=request.content_type,
                    verb=get_verb(request),
                    query=request.http_extension.querystring,
                )
            ),
        )
        answer = common_v1.InvokeResponse(content_type=content_type)
        answer.data.value = data
        return answer

    async def on_topic_event(self, request: Any, context: Any) -> Any:
        """Calls the handler of one event, and answers with its outcome.

        Args:
            request: The `TopicEventRequest`, or its bytes if protobuf could not parse them.
            context: Context of the call.
        """
        if isinstance(request, bytes):
            outcome = messages.drop_unreadable(
                "", "", DecodeError("protobuf cannot, it may be nested too deeply")
            )
        else:
            outcome = await messages.handle_event(self._dispatch, request)
        answer = appcallback_v1.TopicEventResponse()
        answer.status = outcome.value  # type: ignore[assignment]
        return answer

    async def on_bulk_topic_event(self, request: Any, context: Any) -> Any:
        """Calls the handler of each event of a bulk delivery, and answers with each outcome."""
        entries = (
            messages.handle_bulk_entry(self._dispatch, request, entry) for entry in request.entries
        )
        outcomes = await asyncio.gather(*entries)
        answer = appcallback_v1.TopicEventBulkResponse()
        for entry, outcome in zip(request.entries, outcomes, strict=True):
            answer.statuses.add(entry_id=entry.entry_id, status=outcome.value)
        return answer

    async def on_binding_event(self, request: Any, context: Any) -> Any:
        """Calls the handler of an input binding, and answers with the value that it returns."""
        binding = BindingRequest(request.data, metadata=dict(request.metadata), name=request.name)
        data = await _await_or_abort(context, self._dispatch.handle_binding(binding))
        return appcallback_v1.BindingEventResponse(data=data)

    async def list_topic_subscriptions(self, request: Any, context: Any) -> Any:
        """Returns the subscriptions of the app. The sidecar fetches them when it finds the app."""
        return messages.list_subscriptions(self._dispatch.registrations)

    async def list_input_bindings(self, request: Any, context: Any) -> Any:
        """Returns the names of the input bindings that the app handles."""
        bindings = list(self._dispatch.registrations.bindings)
        return appcallback_v1.ListInputBindingsResponse(bindings=bindings)

    async def health_check(self, request: Any, context: Any) -> Any:
        """Answers OK if the app is healthy, and ends the call with UNAVAILABLE if not."""
        await _await_or_abort(context, self._dispatch.check_health())
        return appcallback_v1.HealthCheckResponse()

    def _protect(self, behaviour: Behaviour) -> Behaviour:
        token = self._token
        if token is None:
            return behaviour

        async def check_and_call(request: Any, context: Any) -> Any:
            if not has_token(token, select_texts(context.invocation_metadata())):
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, WRONG_TOKEN)
            return await behaviour(request, context)

        return check_and_call


def has_token(token: str, metadata: Mapping[str, str]) -> bool:
    """Returns whether a call carries the token that the app demands.

    Args:
        token: The token that the app demands.
        metadata: Metadata of the call.
    """
    # compare_digest, because a comparison must take the same time for every wrong token.
    return hmac.compare_digest(metadata.get(TOKEN_KEY, "").encode(), token.encode())


def select_texts(metadata: Any) -> dict[str, str]:
    """Returns the entries of a call's metadata whose values are text; others are bytes."""
    return {key: value for key, value in metadata or () if isinstance(value, str)}


def remove_token(metadata: Mapping[str, str]) -> dict[str, str]:
    """Returns a copy of the metadata of a call, without the token."""
    # Removed, because handlers may log their request.
    return {key: value for key, value in metadata.items() if key != TOKEN_KEY}


def get_verb(request: Any) -> str:
    """Returns the HTTP verb of a method call, such as `POST`. Empty if the call carries none."""
    extension = request.http_extension
    return str(type(extension).Verb.Name(extension.verb)) if extension.verb else ""


async def _await_or_abort(context: Any, answer: Awaitable[Any]) -> Any:
    try:
        return await answer
    except StatusError as refusal:
        await context.abort(refusal.code, refusal.details)


def _parse_event(data: bytes) -> Any:
    """Parses a `TopicEventRequest`. Returns the same bytes if protobuf cannot parse them."""
    try:
        return appcallback_v1.TopicEventRequest.FromString(data)
    except DecodeError:
        # Bytes and no error, because gRPC would fail the call and the sidecar would deliver the
        # event without an end. A sidecar passes extensions that are nested too deeply for protobuf.
        return data


def _make_handler(behaviour: Behaviour, request: Any) -> Any:
    return grpc.unary_unary_rpc_method_handler(
        behaviour,
        request_deserializer=request.FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )
