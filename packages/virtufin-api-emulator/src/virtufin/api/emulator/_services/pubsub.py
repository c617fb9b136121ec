"""The service virtufin.Pubsub, and the method Gateway.Subscribe of earlier gateways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from virtufin.api.client._wire import Wire
from virtufin.api.client.events import PubsubEvent
from virtufin.api.emulator._backends import Backend, Event
from virtufin.api.emulator._faults import Injector
from virtufin.api.emulator._status_errors import InvalidArgumentError
from virtufin.api.emulator._wires import PUBLISH, SUBSCRIBE
from virtufin.api.protos.cloudevents_pb2 import CloudEvent

from .event_layouts import Layout
from .stream_writer import StreamServer

GATEWAY_SUBSCRIBE = "Gateway.Subscribe"


class PubsubServicer:
    """The methods of the service virtufin.Pubsub.

    In the packaged message layout, an event is passed on as the bytes that were received.

    Args:
        layout: Form of events in the messages.
        backend: Store that carries the events to subscribers.
        faults: Fault plans for the calls.
        streams: Server of the streams to subscribers.
    """

    def __init__(
        self, layout: Layout, backend: Backend, faults: Injector, streams: StreamServer
    ) -> None:
        self._layout = layout
        self._wire = layout.wire
        self._backend = backend
        self._faults = faults
        self._streams = streams

    async def publish_event(self, request: Any, context: Any) -> Any:
        # Here and not in the interceptor, because only the request contains the topic.
        await self._faults.apply(self._wire[PUBLISH].full_name, (request.topic,))
        if not request.topic:
            raise InvalidArgumentError("topic must not be empty")
        await self._backend.publish(request.topic, self._layout.read_event(request))
        return self._wire[PUBLISH].response(status={"success": True, "status": "OK"})

    async def subscribe(self, request: Any, context: Any) -> None:
        method = self._wire[SUBSCRIBE]
        await self._streams.serve(context, method, request.topics, self._layout.make_item)

    async def unsubscribe(self, request: Any, context: Any) -> Any:
        # Always NOT_FOUND, because the gateway never gives a subscription an id.
        return self._wire["Pubsub.Unsubscribe"].response(
            status={
                "success": False,
                "status": "NOT_FOUND",
                "message": f"no subscription {request.subscription_id!r}; "
                "cancel the stream to unsubscribe",
            }
        )


class GatewayEventsServicer:
    """The method Gateway.Subscribe, which filters events by service and type.

    Args:
        wire: Message layout of the gateway.
        streams: Server of the streams to subscribers.
    """

    def __init__(self, wire: Wire, streams: StreamServer) -> None:
        self._wire = wire
        self._streams = streams

    async def subscribe(self, request: Any, context: Any) -> None:
        method = self._wire[GATEWAY_SUBSCRIBE]
        await self._streams.serve(
            context, method, request.topics, _make_filter(request, method.response)
        )


def _make_filter(request: Any, message: Any) -> Callable[[Event], Any]:
    sources = {f"urn:com.virtufin.{service}" for service in request.services}
    types = set(request.event_types)

    def item(event: Event) -> Any:
        cloudevent = CloudEvent.FromString(event.cloudevent)
        if sources and cloudevent.source not in sources:
            return None
        if types and cloudevent.type not in types:
            return None
        # The client's own view, so that both read the attributes of an event in the same way.
        view = PubsubEvent(event.topic, cloudevent)
        return message(
            id=view.message_id,
            source=view.source,
            type=view.type,
            spec_version=cloudevent.spec_version,
            data_content_type=view.content_type,
            data=view.data,
            topic=view.topic,
        )

    return item
