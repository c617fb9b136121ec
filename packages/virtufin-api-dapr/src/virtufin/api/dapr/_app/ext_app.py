"""Registration of an app's handlers on a `dapr.ext.grpc.App`.

An App is the gRPC server of Dapr's own SDK, which calls handlers in threads. It does not give them
the gRPC context of the call, with two consequences:

- A method can report a failure only by raising, which the App answers with UNKNOWN.
- A handler goes on after the sidecar has cancelled its call.
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
from .handler_pool import AppStoppingError
from .handler_types import BindingRequest, InvocationRequest, Outcome
from .registry import Registrations, Topic
from .servicer import WRONG_TOKEN, has_token, remove_token, select_texts
from .settings import AppSettings

_METADATA = "_metadata_"
"""Prefix that the App adds to the keys of a call's metadata among an event's extensions."""
# The names that CloudEvents allows for attributes.
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
    """Registers all handlers on an App, as `DaprApp.attach` describes.

    Args:
        ext_app: A `dapr.ext.grpc.App`.
        registrations: The registered handlers.
        core: Handler pool and dispatch for the attachment. Closing the attachment drains it.
        settings: Settings of the app.
        loop: Event loop for the handlers. None means a new event loop in a new thread.

    Returns:
        The attachment, which the caller must close.
    """
    extension = import_ext_grpc()
    if not isinstance(ext_app, extension.App):
        raise InvalidInputError(f"ext_app must be a dapr.ext.grpc.App, not {short_repr(ext_app)}")
    if loop is not None and not isinstance(loop, asyncio.AbstractEventLoop):
        raise InvalidInputError(f"loop must be an event loop, not {short_repr(loop)}")
    subscriptions = _get_subscriptions(ext_app)
    attachment = Attachment(core, settings, loop)
    try:
        registrar = _Registrar(ext_app, extension, core, attachment, settings.api_token)
        for topic in registrations.topics:
            registrar.register_topic(topic, subscriptions)
        for name in registrations.methods:
            ext_app.method(name)(registrar.make_method_handler(name))
        for name in registrations.bindings:
            ext_app.binding(name)(registrar.make_binding_handler(name))
        ext_app.register_health_check(registrar.check_health)
        registrar.serve_bulk(registrations)
    # Closed after any failure, because the attachment may have started a thread.
    except ValueError as error:
        attachment.close()
        raise InvalidInputError(f"the App has a handler of its own: {error}") from None
    except BaseException:
        attachment.close()
        raise
    return attachment


class _Registrar:
    """Registers the handlers of one `DaprApp` on one `dapr.ext.grpc.App`.

    Args:
        ext_app: The App.
        extension: The module `dapr.ext.grpc`.
        core: Dispatch of the `DaprApp`.
        attachment: Attachment that runs coroutines for the App's threads.
        token: Token that deliveries must carry. None accepts deliveries without a token.
    """

    def __init__(
        self, ext_app: Any, extension: Any, core: Core, attachment: Attachment, token: str | None
    ) -> None:
        self._app = ext_app
        self._extension = extension
        self._dispatch = core.dispatch
        self._attachment = attachment
        self._token = token

    def register_topic(self, topic: Topic, subscriptions: Any) -> None:
        """Registers the handlers of a topic, and puts this app's subscription into the App's list.

        Args:
            topic: The subscription of this app, with its handlers.
            subscriptions: The list of subscriptions that the App reports to the sidecar.

        Raises:
            InvalidInputError: The App has a subscription to the topic already.
        """
        before = len(subscriptions)
        for priority, route in enumerate(topic.routes):
            path = topic.get_path(route)
            on_event = self._make_event_handler(topic, path)
            rule = None
            if path:
                # Renamed and with a rule, because the App derives the path of a route from the name
                # of its function, and only for a route with a rule.
                on_event.__name__ = path
                rule = self._extension.Rule(route.match or "", priority)
            self._app.subscribe(topic.pubsub_name, topic.name, rule=rule)(on_event)
        if len(subscriptions) == before:
            raise InvalidInputError(
                f"the App is subscribed to topic {topic.name!r} of {topic.pubsub_name!r} already"
            )
        # Replaced, because the App's own subscription cannot have bulk delivery, and a declared
        # topic must have no subscription of the App at all.
        subscriptions.pop()
        if not topic.declared:
            subscriptions.append(messages.make_subscription(topic))

    def make_method_handler(self, name: str) -> Callable[[Any], Any]:
        """Returns the function to register with dapr's `App.method` for a method of this app.

        Args:
            name: Name of the method.
        """

        def on_invoke(request: Any) -> Any:
            metadata = select_texts(request.get_metadata())
            self._require_token(metadata)
            invocation = InvocationRequest(
                request.proto.value,
                metadata=remove_token(metadata),
                method=name,
                content_type=request.content_type or "",
            )
            data, content_type = self._attachment.call(lambda: self._dispatch.invoke(invocation))
            answer = self._extension.InvokeMethodResponse(data, content_type or None)
            answer.content_type = content_type
            return answer

        return on_invoke

    def make_binding_handler(self, name: str) -> Callable[[Any], None]:
        """Returns a function for `App.binding` that calls the app's handler of a binding.

        Args:
            name: Name of the binding component.
        """

        # Without the data of the answer, because the App does not send any.
        def on_binding(request: Any) -> None:
            self._require_token(select_texts(request.get_metadata()))
            binding = BindingRequest(
                request.data, metadata=dict(request.binding_metadata), name=name
            )
            self._attachment.call(lambda: self._dispatch.handle_binding(binding))

        return on_binding

    def check_health(self) -> None:
        """Runs the health check of this app.

        Raises:
            StatusError: The app is unhealthy.
            AppStoppingError: The attachment is closed.
        """
        self._attachment.call(self._dispatch.check_health)

    def serve_bulk(self, registrations: Registrations) -> None:
        """Adds the gRPC method `OnBulkTopicEvent` for bulk deliveries, if the App has none.

        Args:
            registrations: The registered handlers.
        """
        # Needed for dapr 1.16, because its protos have only the older name with `Alpha1`.
        services = appcallback_v1.DESCRIPTOR.services_by_name
        if _BULK in services["AppCallback"].methods_by_name:
            return

        def on_bulk(request: Any, context: Any) -> Any:
            if registrations.find_route(request.pubsub_name, request.topic, request.path) is None:
                context.abort(grpc.StatusCode.UNIMPLEMENTED, "no handler of the attached app")
            self._require_token(select_texts(context.invocation_metadata()))
            answer = appcallback_v1.TopicEventBulkResponse()
            for entry in request.entries:
                outcome = self._run(
                    functools.partial(messages.handle_bulk_entry, self._dispatch, request, entry)
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

    def _make_event_handler(self, topic: Topic, path: str) -> Any:
        response = self._extension.TopicEventResponse
        bulk = topic.bulk is not None

        def on_event(received: Any) -> Any:
            request, metadata = _to_request(received, topic, path)
            self._require_token(metadata)
            outcome = self._run(lambda: messages.handle_event(self._dispatch, request, bulk=bulk))
            return response(outcome.name.lower())

        # Set explicitly, because from 1.19 on the App chooses the type of the event by this
        # annotation and warns about handlers without one.
        message = getattr(self._extension, "SubscriptionMessage", None)
        on_event.__annotations__ = {} if message is None else {"received": message}
        return on_event

    def _run(self, work: Callable[[], Coroutine[Any, Any, Outcome]]) -> Outcome:
        try:
            return self._attachment.call(work)
        except AppStoppingError:
            # RETRY, because another instance of the app can handle the event.
            return Outcome.RETRY

    def _require_token(self, metadata: Mapping[str, str]) -> None:
        if self._token is not None and not has_token(self._token, metadata):
            raise PermissionError(WRONG_TOKEN)


def import_ext_grpc() -> Any:
    """Imports the module `dapr.ext.grpc` and returns the module.

    Raises:
        ImportError: The module is not installed, is installed by two distributions, or is made for
            another version of `dapr`. The text has the command that repairs the installation.
    """
    # Versions are checked first, because dapr contains the module from 1.19 on, and no constraint
    # can keep a user from installing dapr-ext-grpc beside it, which has the same files.
    version = importlib.metadata.version("dapr")
    other = _find_version("dapr-ext-grpc")
    contained = _parse_minor(version) >= (1, 19)
    if contained and other:
        raise ImportError(
            f"dapr {version} contains dapr.ext.grpc, and dapr-ext-grpc {other} installed the same "
            "files. Mend it: pip uninstall -y dapr-ext-grpc, then "
            f"pip install --force-reinstall --no-deps 'dapr=={version}'"
        )
    if other and _parse_minor(other) != _parse_minor(version):
        wanted = ".".join(map(str, _parse_minor(version)))
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


def _parse_minor(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:2]))


def _find_version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        # No error, because the distribution need not be installed.
        return None


def _get_subscriptions(ext_app: Any) -> Any:
    """Returns the App's own list of the subscriptions that the App reports to the sidecar.

    Raises:
        UnsupportedError: The installed version of `dapr` has an App without such a list.
    """
    # A private attribute, because bulk delivery and subscription files are not possible without it.
    subscriptions = getattr(getattr(ext_app, "_servicer", None), "_registered_topics", None)
    if not isinstance(subscriptions, list):
        version = importlib.metadata.version("dapr")
        raise UnsupportedError(
            f"the App of dapr {version} is not known here; dapr 1.16 to 1.19 are. "
            "Use `await app.serve()`"
        )
    return subscriptions


def _to_request(received: Any, topic: Topic, path: str) -> tuple[Any, dict[str, str]]:
    """Rebuilds the sidecar's `TopicEventRequest` from the event that the App passes to a handler.

    Args:
        received: The event that the App passes to handlers.
        topic: The subscription that the event came through.
        path: Path of the handler.

    Returns:
        The rebuilt message, and the metadata of the sidecar's call.
    """
    request = appcallback_v1.TopicEventRequest(
        topic=topic.name, pubsub_name=topic.pubsub_name, path=path
    )
    # By attribute and not by version, because the App chooses the type: `SubscriptionMessage` with
    # `raw_data` from dapr 1.19 on, or the event of the cloudevents package.
    if hasattr(received, "raw_data"):
        request.id = received.id()
        request.source = received.source()
        request.type = received.type()
        request.spec_version = received.spec_version()
        request.data_content_type = received.data_content_type()
        request.data = received.raw_data()
        request.topic = received.topic()
        request.extensions.update(received.extensions())
        return request, received.metadata()
    request.id = received.EventID()
    request.source = received.Source()
    request.type = received.EventType()
    request.spec_version = received.CloudEventVersion()
    request.data_content_type = received.ContentType() or ""
    request.data = received.Data() or b""
    request.topic = received.Subject() or topic.name
    metadata = {}
    for name, value in received.Extensions().items():
        if name.startswith(_METADATA):
            metadata[name[len(_METADATA) :]] = str(value)
        elif _ATTRIBUTE.fullmatch(name):
            # Only valid names, because the others come from the metadata of a bulk entry, which the
            # App adds to the extensions.
            request.extensions.update({name: value})
    return request, metadata
