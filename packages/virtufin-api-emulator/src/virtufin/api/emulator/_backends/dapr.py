"""State and events on a Dapr sidecar, so that several replicas of a gateway share them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime, timezone

from dapr.proto import api_v1

from virtufin.api.client.errors import InvalidInputError
from virtufin.api.dapr._sidecar import cloudevents_json
from virtufin.api.emulator._settings import DaprSettings
from virtufin.api.emulator._status_errors import InvalidArgumentError
from virtufin.api.protos.cloudevents_pb2 import CloudEvent

from .backend import Backend, Entry
from .broker import Broker, Subscription
from .dapr_connection import SidecarConnection
from .dapr_state import DaprState
from .dapr_topic import Topic
from .event_filter import DeliveryFilter

# A bound, because a caller of subscribe would otherwise wait for a sidecar that never confirms.
_CONFIRMATION = 5.0
"""Seconds that a sidecar may take to confirm all topics of a subscription."""


class DaprBackend(Backend):
    """A store on a Dapr sidecar: its state store component and its pub/sub component.

    For each topic, one stream from the sidecar carries the events to this process. A broker in
    memory delivers them to every subscription of this gateway.

    Args:
        settings: Settings of the sidecar.
    """

    def __init__(self, settings: DaprSettings) -> None:
        self._settings = settings
        self.connection = SidecarConnection(settings)
        self._state = DaprState(self.connection, settings.store_name)
        self._broker = Broker()
        self._topics: dict[str, Topic] = {}
        self._ending = True
        self._started = datetime.now(timezone.utc)

    async def start(self) -> None:
        self._started = datetime.now(timezone.utc)
        self._ending = False
        self.connection.open()
        self._broker.open()

    def end_subscriptions(self) -> None:
        # Recorded, because a topic that was opened from now on would outlive the gateway.
        self._ending = True
        self._broker.close()

    async def stop(self) -> None:
        self.end_subscriptions()
        topics, self._topics = list(self._topics.values()), {}
        await asyncio.gather(*(topic.stop() for topic in topics))
        await self.connection.close()

    async def reset(self) -> None:
        # A stopped gateway can be reset, so the link is opened for the time of the reset.
        if self.connection.is_open:
            await self._state.reset()
            return
        self.connection.open()
        try:
            await self._state.reset()
        finally:
            await self.connection.close()

    async def save(self, service: str, key: str, value: str, etag: str) -> None:
        await self._state.save(service, key, value, etag)

    async def get(self, service: str, keys: Iterable[str]) -> list[Entry]:
        return await self._state.get(service, keys)

    async def delete(self, service: str, keys: Iterable[str]) -> list[str]:
        return await self._state.delete(service, keys)

    async def query(self, service: str, query: str, limit: int) -> list[Entry]:
        return await self._state.query(service, query, limit)

    async def publish(self, topic: str, cloudevent: bytes) -> None:
        try:
            data = cloudevents_json.to_json(CloudEvent.FromString(cloudevent))
        except InvalidInputError as error:
            raise InvalidArgumentError(error.message) from error
        request = api_v1.PublishEventRequest(
            pubsub_name=self._settings.pubsub_name,
            topic=topic,
            data=data,
            data_content_type=cloudevents_json.CONTENT_TYPE,
        )
        await self.connection.call("PublishEvent", request)

    async def subscribe(self, topics: Iterable[str]) -> Subscription:
        wanted = list(dict.fromkeys(topics))
        if not wanted:
            raise InvalidArgumentError(
                "topics must not be empty: Dapr has no subscription to all topics"
            )
        # Before its topics are live, so that the subscription receives their first event.
        subscription = self._broker.subscribe(wanted)
        try:
            await self._wait_live(subscription, wanted)
        except BaseException:
            subscription.close()
            raise
        return subscription

    async def _wait_live(self, subscription: Subscription, topics: Iterable[str]) -> None:
        if self._ending:
            return
        clock = asyncio.get_running_loop().time
        end = clock() + _CONFIRMATION
        for topic in [self._get_topic(name) for name in topics]:
            await topic.wait_live(subscription, max(end - clock(), 0.0))

    def _get_topic(self, name: str) -> Topic:
        topic = self._topics.get(name)
        if topic is None or topic.failed:
            topic = self._topics[name] = Topic(
                self.connection,
                self._settings.pubsub_name,
                name,
                delivery_filter=DeliveryFilter(
                    started=self._started, keep_history=self._settings.keep_history
                ),
                publish=self._broker.publish,
            )
        return topic
