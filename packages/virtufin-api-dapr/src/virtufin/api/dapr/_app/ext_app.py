"""The same handlers on a `dapr.ext.grpc.App`.

That App has threads and no way to give its handlers the call itself. So a failure of a method can
only be raised, which the App answers with UNKNOWN, and a call that the sidecar gives up goes on.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import importlib.metadata
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import grpc
from dapr.proto import appcallback_v1

from virtufin.api.client._validation import short_repr
from virtufin.api.client.errors import InvalidInputError, UnsupportedError

from . import messages
from .attachment import Attachment
from .dispatch import Core
from .handler_pool import DrainedError
from .handler_types import BindingRequest, InvocationRequest, Outcome
from .registry import Registrations, Topic
from .servicer import WRONG_TOKEN, holds, texts, without_token
from .settings import AppSettings

_METADATA = "_metadata_"
"""What the App puts before the keys of a call's metadata among an event's extensions."""
_ATTRIBUTE = re.compile(r"[a-z0-9]+")
_CALLBACK = "dapr.proto.runtime.v1.AppCallback"
_BULK = "OnBulkTopicEvent"


def attach(
    ext_app: Any,
    registrations: Registrations,
    core: Core,
    settings: AppSettings,
    loop: asyncio.AbstractEventLoop | None,
) -> Attachment:
    """Registers all handlers; see `DaprApp.attach`."""
    extension = imported()
    if not isinstance(ext_app, extension.App):
        raise InvalidInputError(f"ext_app must be a dapr.ext.grpc.App, not {short_repr(ext_app)}")
    if loop is not None and not isinstance(loop, asyncio.AbstractEventLoop):
        raise InvalidInputError(f"loop must be an event loop, not {short_repr(loop)}")
    offered = _offered(ext_app)
    attachment = Attachment(core, settings, loop)
    try:
        registering = _Registering(ext_app, extension, core, attachment, settings.api_token)
        for topic in registrations.topics:
            registering.topic(topic, offered)
        for name in registrations.methods:
            ext_app.method(name)(registering.method(name))
        for name in registrations.bindings:
            ext_app.binding(name)(registering.binding(name))
        ext_app.register_health_check(registering.health_check)
        registering.bulk(registrations)
    except ValueError as error:
        attachment.close()
        raise InvalidInputError(f"the App has a handler of its own: {error}") from None
    except BaseException:
        attachment.close()
        raise
    return attachment


class _Registering:
    def __init__(
        self, ext_app: Any, extension: Any, core: Core, attachment: Attachment, token: str | None
    ) -> None:
        self._app = ext_app
        self._extension = extension
        self._dispatch = core.dispatch
        self._attachment = attachment
        self._token = token

    def topic(self, topic: Topic, offered: Any) -> None:
        """Registers the routes of a topic, then says in our own words how events are wanted."""
        before = len(offered)
        for priority, route in enumerate(topic.routes):
            path = topic.path(route)
            on_event = self._on_event(topic, path)
            rule = None
            if path:
                # The App names a route after the function, and only one with a rule.
                on_event.__name__ = path
                rule = self._extension.Rule(route.match or "", priority)
            self._app.subscribe(topic.pubsub_name, topic.name, rule=rule)(on_event)
        if len(offered) == before:
            raise InvalidInputError(
                f"the App is subscribed to topic {topic.name!r} of {topic.pubsub_name!r} already"
            )
        offered.pop()
        if not topic.declared:
            offered.append(messages.subscription(topic))

    def method(self, name: str) -> Callable[[Any], Any]:
        """A handler of calls in the App's terms."""

        def on_invoke(request: Any) -> Any:
            metadata = texts(request.get_metadata())
            self._check(metadata)
            invocation = InvocationRequest(
                request.proto.value,
                metadata=without_token(metadata),
                method=name,
                content_type=request.content_type or "",
            )
            data, content_type = self._attachment.call(lambda: self._dispatch.invoke(invocation))
            answer = self._extension.InvokeMethodResponse(data, content_type or None)
            answer.content_type = content_type
            return answer

        return on_invoke

    def binding(self, name: str) -> Callable[[Any], None]:
        """A handler of a binding in the App's terms, which has no place for data in its answer."""

        def on_binding(request: Any) -> None:
            self._check(texts(request.get_metadata()))
            binding = BindingRequest(
                request.data, metadata=dict(request.binding_metadata), name=name
            )
            self._attachment.call(lambda: self._dispatch.bind(binding))

        return on_binding

    def health_check(self) -> None:
        """A health check in the App's terms."""
        self._attachment.call(self._dispatch.check_health)

    def bulk(self, registrations: Registrations) -> None:
        """Serves bulk delivery under the name that the protos of dapr 1.16 do not have."""
        services = appcallback_v1.DESCRIPTOR.services_by_name
        if _BULK in services["AppCallback"].methods_by_name:
            return

        def on_bulk(request: Any, context: Any) -> Any:
            if registrations.route(request.pubsub_name, request.topic, request.path) is None:
                context.abort(grpc.StatusCode.UNIMPLEMENTED, "no handler of the attached app")
            self._check(texts(context.invocation_metadata()))
            answer = appcallback_v1.TopicEventBulkResponse()
            for entry in request.entries:
                outcome = self._outcome(
                    functools.partial(messages.entry, self._dispatch, request, entry)
                )
                answer.statuses.add(entry_id=entry.entry_id, status=outcome.value)
            return answer

        handler = grpc.unary_unary_rpc_method_handler(
            on_bulk,
            request_deserializer=appcallback_v1.TopicEventBulkRequest.FromString,
            response_serializer=appcallback_v1.TopicEventBulkResponse.SerializeToString,
        )
        generic = grpc.method_handlers_generic_handler(_CALLBACK, {_BULK: handler})
        self._app.add_external_service(
            lambda handlers, server: server.add_generic_rpc_handlers(handlers), (generic,)
        )

    def _on_event(self, topic: Topic, path: str) -> Any:
        response = self._extension.TopicEventResponse
        bulk = topic.bulk is not None

        def on_event(told: Any) -> Any:
            request, metadata = _topic_event(told, topic, path)
            self._check(metadata)
            outcome = self._outcome(lambda: messages.one(self._dispatch, request, bulk=bulk))
            return response(outcome.name.lower())

        # What the App goes by from 1.19 on; it warns of handlers without.
        message = getattr(self._extension, "SubscriptionMessage", None)
        on_event.__annotations__ = {} if message is None else {"told": message}
        return on_event

    def _outcome(self, work: Callable[[], Coroutine[Any, Any, Outcome]]) -> Outcome:
        try:
            return self._attachment.call(work)
        except DrainedError:
            return Outcome.RETRY

    def _check(self, metadata: Mapping[str, str]) -> None:
        if self._token is not None and not holds(self._token, metadata):
            raise PermissionError(WRONG_TOKEN)


def imported() -> Any:
    """The module `dapr.ext.grpc`.

    Raises:
        ImportError: It is not installed, by two distributions, or for another dapr; says what mends
            that.
    """
    version = importlib.metadata.version("dapr")
    other = _version("dapr-ext-grpc")
    contained = _minor(version) >= (1, 19)
    if contained and other:
        raise ImportError(
            f"dapr {version} contains dapr.ext.grpc, and dapr-ext-grpc {other} brought the same "
            "files. Mend it: pip uninstall -y dapr-ext-grpc, then "
            f"pip install --force-reinstall --no-deps 'dapr=={version}'"
        )
    if other and _minor(other) != _minor(version):
        wanted = ".".join(map(str, _minor(version)))
        raise ImportError(
            f"dapr-ext-grpc {other} is not made for dapr {version}. "
            f"Mend it: pip install 'dapr-ext-grpc=={wanted}.*'"
        )
    extra = "grpc" if contained else "ext-grpc"
    try:
        return importlib.import_module("dapr.ext.grpc")
    except ImportError as error:
        raise ImportError(
            f"dapr.ext.grpc cannot be imported ({error}): pip install 'virtufin-api-dapr[{extra}]'"
        ) from error


def _minor(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:2]))


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _offered(ext_app: Any) -> Any:
    """The list from which the App tells the sidecar its subscriptions.

    Private to it, but without it bulk delivery and subscription files could not be had.
    """
    offered = getattr(getattr(ext_app, "_servicer", None), "_registered_topics", None)
    if not isinstance(offered, list):
        version = importlib.metadata.version("dapr")
        raise UnsupportedError(
            f"the App of dapr {version} is not known here; dapr 1.16 to 1.19 are. "
            "Use `await app.serve()`"
        )
    return offered


def _topic_event(told: Any, topic: Topic, path: str) -> tuple[Any, dict[str, str]]:
    """The message that the App made its event from, and the metadata of the call."""
    request = appcallback_v1.TopicEventRequest(
        topic=topic.name, pubsub_name=topic.pubsub_name, path=path
    )
    if hasattr(told, "raw_data"):
        request.id = told.id()
        request.source = told.source()
        request.type = told.type()
        request.spec_version = told.spec_version()
        request.data_content_type = told.data_content_type()
        request.data = told.raw_data()
        request.topic = told.topic()
        request.extensions.update(told.extensions())
        return request, told.metadata()
    request.id = told.EventID()
    request.source = told.Source()
    request.type = told.EventType()
    request.spec_version = told.CloudEventVersion()
    request.data_content_type = told.ContentType() or ""
    request.data = told.Data() or b""
    request.topic = told.Subject() or topic.name
    metadata = {}
    for name, value in told.Extensions().items():
        if name.startswith(_METADATA):
            metadata[name[len(_METADATA) :]] = str(value)
        elif _ATTRIBUTE.fullmatch(name):
            # Others come from the metadata of an entry, which the App mixes in.
            request.extensions.update({name: value})
    return request, metadata
