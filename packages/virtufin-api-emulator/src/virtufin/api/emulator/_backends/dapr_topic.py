"""One topic's stream from the sidecar, as long as the gateway runs.

It is kept when the last subscriber has gone: what comes then is acknowledged and dropped, so that
nobody who subscribes later gets it as news.
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
from virtufin.api.emulator._status_errors import RefusedError

from .broker import Event, Subscription
from .dapr_connection import Link
from .event_filter import News

_log = logging.getLogger("virtufin.api.emulator.dapr")
_BACKOFF = (0.1, 5.0, 2.0, 0.3)
_STABLE = 5.0
"""Seconds after which a stream has been live long enough to be opened again soon."""
_SUCCESS = appcallback_v1.TopicEventResponse(status=appcallback_v1.TopicEventResponse.SUCCESS)


class Topic:
    """Events of a topic, handed over one by one; survives restarts of the sidecar."""

    def __init__(
        self,
        link: Link,
        pubsub_name: str,
        name: str,
        *,
        news: News,
        publish: Callable[[Event], None],
    ) -> None:
        self._link = link
        self._pubsub_name = pubsub_name
        self._name = name
        self._news = news
        self._publish = publish
        loop = self._loop = asyncio.get_running_loop()
        self._first: asyncio.Future[None] = loop.create_future()
        self._live_since: float | None = None
        # A context of its own: it outlives the call that made it.
        self._task = contextvars.Context().run(
            loop.create_task, self._run(), name=f"virtufin-topic {name}"
        )

    @property
    def failed(self) -> bool:
        """Whether it has ended without ever having been live."""
        return self._task.done()

    async def live(self, subscription: Subscription, timeout: float) -> None:
        """Waits until the sidecar has confirmed the topic for the first time.

        Args:
            subscription: Who waits for it.
            timeout: Seconds to wait at most.

        Raises:
            RefusedError: It has not, and why; or the subscription was ended meanwhile.
        """
        await subscription.hold(self._first, timeout)
        if not self._first.done():
            raise RefusedError(
                grpc.StatusCode.UNAVAILABLE,
                f"the gateway's Dapr sidecar at {self._link.address} did not confirm the "
                f"subscription to {self._name!r} in time",
            )
        self._first.result()

    async def stop(self) -> None:
        """Ends the stream."""
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
                error = RefusedError(grpc.StatusCode.UNAVAILABLE, "the sidecar ended the stream")
            except grpc.aio.AioRpcError as failure:
                error = self._refusal(failure)
            if not self._first.done():
                self._first.set_exception(error)
                # Whether or not anybody still waits for it.
                self._first.exception()
                return
            if self._was_stable():
                waits = delays(*_BACKOFF)
            _log.warning("topic %s: %s; trying again", self._name, error)
            await asyncio.sleep(next(waits))

    def _was_stable(self) -> bool:
        return self._live_since is not None and self._loop.time() - self._live_since > _STABLE

    async def _read(self) -> None:
        call = self._link.stub.SubscribeTopicEventsAlpha1(metadata=self._link.metadata)
        try:
            initial = api_v1.SubscribeTopicEventsRequestInitialAlpha1(
                pubsub_name=self._pubsub_name, topic=self._name
            )
            await _write(call, api_v1.SubscribeTopicEventsRequestAlpha1(initial_request=initial))
            async for message in call:
                if message.HasField("event_message"):
                    self._deliver(message.event_message)
                    await _write(call, _processed(message.event_message.id))
                else:
                    self._confirmed()
        finally:
            call.cancel()

    def _confirmed(self) -> None:
        self._live_since = self._loop.time()
        if not self._first.done():
            self._news.begin(self._live_since)
            self._first.set_result(None)

    def _deliver(self, request: Any) -> None:
        try:
            event = cloudevents_json.from_topic_event(request).cloudevent
        except (ValueError, TypeError) as error:
            # It would come again the same.
            text = "topic %s: event %r cannot be read, it is dropped: %s"
            _log.error(text, self._name, request.id, error)
            return
        if self._news.admits(event, self._loop.time()):
            self._publish(Event(self._name, event.SerializeToString()))

    def _refusal(self, error: grpc.aio.AioRpcError) -> RefusedError:
        refusal = self._link.refusal(error)
        if error.code() is grpc.StatusCode.UNKNOWN:
            # Dapr gives its reasons in words only.
            missing = "not found" in refusal.details
            code = grpc.StatusCode.INVALID_ARGUMENT if missing else grpc.StatusCode.UNAVAILABLE
            return RefusedError(code, refusal.details)
        return refusal


async def _write(call: Any, message: Any) -> None:
    # A stream that has ended says why when it is read; what was not acknowledged comes again.
    with suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
        await call.write(message)


def _processed(event_id: str) -> api_v1.SubscribeTopicEventsRequestAlpha1:
    return api_v1.SubscribeTopicEventsRequestAlpha1(
        event_processed=api_v1.SubscribeTopicEventsRequestProcessedAlpha1(
            id=event_id, status=_SUCCESS
        )
    )
