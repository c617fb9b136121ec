"""The stream by which the Dapr sidecar delivers the events of one topic to the gateway.

The stream stays open until the gateway stops, also after the last subscriber has gone. Events are
then acknowledged and dropped, so that a later subscriber does not receive them as new events.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import grpc
import grpc.aio
from dapr.proto import api_v1, appcallback_v1

from virtufin.api.client._backoff import delays
from virtufin.api.dapr._sidecar import cloudevents_json
from virtufin.api.emulator._status_errors import StatusError

from .broker import Event, Subscription
from .dapr_connection import SidecarConnection
from .event_filter import DeliveryFilter

_log = logging.getLogger("virtufin.api.emulator.dapr")
_BACKOFF = (0.1, 5.0, 2.0, 0.3)
"""Delays before a stream is opened again: first and longest in seconds, factor, random part."""
# Without this, the delays would grow over the whole life of a gateway, and after a few restarts of
# the sidecar each further one would be followed by the longest delay.
_STABLE = 5.0
"""Seconds that a stream must have been live for the delays to begin with the first again."""
# Always success, because the gateway takes over the delivery to its subscribers.
_SUCCESS = appcallback_v1.TopicEventResponse(status=appcallback_v1.TopicEventResponse.SUCCESS)


class Topic:
    """The stream of one topic, which is opened again after a break, such as a sidecar's restart.

    The stream is live from the sidecar's confirmation to the next break.

    Args:
        connection: Connection to the sidecar.
        pubsub_name: Name of the pub/sub component.
        name: Name of the topic.
        delivery_filter: Filter for the events of the topic.
        publish: Function that is called with each event that the filter accepts.
    """

    def __init__(
        self,
        connection: SidecarConnection,
        pubsub_name: str,
        name: str,
        *,
        delivery_filter: DeliveryFilter,
        publish: Callable[[Event], None],
    ) -> None:
        self._connection = connection
        self._pubsub_name = pubsub_name
        self._name = name
        self._filter = delivery_filter
        self._publish = publish
        loop = self._loop = asyncio.get_running_loop()
        self._first: asyncio.Future[None] = loop.create_future()
        self._live_since: float | None = None
        # In an empty context, because the task outlives the call that created it, and must not
        # inherit that call's deadline.
        self._task = contextvars.Context().run(
            loop.create_task, self._run(), name=f"virtufin-topic {name}"
        )

    @property
    def failed(self) -> bool:
        """True if the stream has ended: before it was ever live, or by `stop`."""
        return self._task.done()

    async def wait_live(self, subscription: Subscription, timeout: float) -> None:
        """Waits until the stream is live for the first time. Returns at once after that.

        Args:
            subscription: Subscription that waits for the topic. Its end ends the wait.
            timeout: Seconds to wait at most.

        Raises:
            StatusError: The sidecar rejected the topic or did not confirm it in time, or the
                subscription was ended.
        """
        await subscription.wait_for(self._first, timeout)
        if not self._first.done():
            raise StatusError(
                grpc.StatusCode.UNAVAILABLE,
                f"the gateway's Dapr sidecar at {self._connection.address} did not confirm the "
                f"subscription to {self._name!r} in time",
            )
        self._first.result()

    async def stop(self) -> None:
        """Ends the stream for good and waits for its end."""
        self._task.cancel()
        await asyncio.wait((self._task,))
        if not self._first.done():
            self._first.cancel()

    async def _run(self) -> None:
        waits = delays(*_BACKOFF)
        while True:
            self._live_since = None
            try:
                await self._read()
                error = StatusError(grpc.StatusCode.UNAVAILABLE, "the sidecar ended the stream")
            except grpc.aio.AioRpcError as failure:
                error = self._make_error(failure)
            if not self._first.done():
                self._first.set_exception(error)
                # Reads the exception, because asyncio logs one that no waiter has read.
                self._first.exception()
                return
            if self._was_stable():
                waits = delays(*_BACKOFF)
            _log.warning("topic %s: %s; trying again", self._name, error)
            await asyncio.sleep(next(waits))

    def _was_stable(self) -> bool:
        return self._live_since is not None and self._loop.time() - self._live_since > _STABLE

    async def _read(self) -> None:
        call = self._connection.stub.SubscribeTopicEventsAlpha1(metadata=self._connection.metadata)
        try:
            initial = api_v1.SubscribeTopicEventsRequestInitialAlpha1(
                pubsub_name=self._pubsub_name, topic=self._name
            )
            await _write(call, api_v1.SubscribeTopicEventsRequestAlpha1(initial_request=initial))
            async for message in call:
                if message.HasField("event_message"):
                    self._deliver(message.event_message)
                    await _write(call, _make_acknowledgement(message.event_message.id))
                else:
                    self._on_confirmed()
        finally:
            call.cancel()

    def _on_confirmed(self) -> None:
        self._live_since = self._loop.time()
        if not self._first.done():
            self._filter.start_catch_up(self._live_since)
            self._first.set_result(None)

    def _deliver(self, request: Any) -> None:
        try:
            event = cloudevents_json.from_topic_event(request).cloudevent
        except (ValueError, TypeError) as error:
            # Dropped and acknowledged, because the sidecar would deliver the same event again.
            text = "topic %s: event %r cannot be read, it is dropped: %s"
            _log.error(text, self._name, request.id, error)
            return
        if self._filter.accepts(event, self._loop.time()):
            self._publish(Event(self._name, event.SerializeToString()))

    def _make_error(self, error: grpc.aio.AioRpcError) -> StatusError:
        refusal = self._connection.make_error(error)
        if error.code() is grpc.StatusCode.UNKNOWN:
            # Recognised by its text, because with UNKNOWN Dapr gives the reason nowhere else.
            missing = "not found" in refusal.details
            code = grpc.StatusCode.INVALID_ARGUMENT if missing else grpc.StatusCode.UNAVAILABLE
            return StatusError(code, refusal.details)
        return refusal


async def _write(call: Any, message: Any) -> None:
    # Suppressed, because reading a stream that has ended raises the reason. Events that were not
    # acknowledged are delivered again.
    with suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
        await call.write(message)


def _make_acknowledgement(event_id: str) -> api_v1.SubscribeTopicEventsRequestAlpha1:
    return api_v1.SubscribeTopicEventsRequestAlpha1(
        event_processed=api_v1.SubscribeTopicEventsRequestProcessedAlpha1(
            id=event_id, status=_SUCCESS
        )
    )
