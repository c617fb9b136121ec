"""virtufin.Pubsub."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.message import DecodeError

from virtufin.api.client._wire import Wire
from virtufin.api.emulator._backend import Backend
from virtufin.api.emulator._headers import opened
from virtufin.api.emulator._injector import Injector
from virtufin.api.emulator._opaque import PUBLISH, SUBSCRIBE, event_class
from virtufin.api.emulator._refusal import RefusedError, invalid


class PubsubServicer:
    """Publish, subscribe; events are passed on as the bytes they came as."""

    def __init__(
        self,
        wire: Wire,
        opaque_wire: Wire,
        backend: Backend,
        faults: Injector,
        *,
        hold_headers: bool,
    ) -> None:
        self._wire = wire
        self._item = opaque_wire[SUBSCRIBE].response
        self._event = event_class(wire)
        self._backend = backend
        self._faults = faults
        self._hold_headers = hold_headers

    async def publish_event(self, request: Any, context: Any) -> Any:
        await self._faults.meet(self._wire[PUBLISH].full_name, (request.topic,))
        if not request.topic:
            raise invalid("topic must not be empty")
        if not request.HasField("cloudevent"):
            raise invalid("cloudevent must be set")
        try:
            self._event.FromString(request.cloudevent)
        except DecodeError as error:
            raise RefusedError(
                grpc.StatusCode.INTERNAL, "cloudevent is not a CloudEvent message"
            ) from error
        await self._backend.publish(request.topic, request.cloudevent)
        return self._wire[PUBLISH].response(status={"success": True, "status": "OK"})

    async def subscribe(self, request: Any, context: Any) -> None:
        topics = list(request.topics)
        await self._faults.meet(self._wire[SUBSCRIBE].full_name, topics)
        if not all(topics):
            raise invalid("topics must not be empty texts")
        subscription = await self._backend.subscribe(topics)
        with subscription, self._faults.stream(subscription) as stream:
            async with opened(context, stream, hold=self._hold_headers) as writer:
                stream.cut_if_due()
                while True:
                    event = await subscription.next()
                    await stream.before_write()
                    await writer.write(self._item(topic=event.topic, cloudevent=event.cloudevent))
                    stream.wrote()

    async def unsubscribe(self, request: Any, context: Any) -> Any:
        # No subscription id is ever handed out, so none is known.
        return self._wire["Pubsub.Unsubscribe"].response(
            status={
                "success": False,
                "status": "NOT_FOUND",
                "message": f"no subscription {request.subscription_id!r}; "
                "cancel the stream to unsubscribe",
            }
        )
