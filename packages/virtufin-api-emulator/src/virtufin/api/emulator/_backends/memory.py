"""State and events of a gateway in the memory of this process."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import grpc

from virtufin.api.emulator._status_errors import InvalidArgumentError, StatusError

from .backend import Backend, Entry
from .broker import Broker, Event, Subscription
from .query import Query, QueryError


class MemoryBackend(Backend):
    """A store in memory. State survives a stop and start of the gateway, as in a real store."""

    def __init__(self) -> None:
        self._broker = Broker()
        self._entries: dict[str, dict[str, Entry]] = {}
        # One counter for all keys, so that a key that is deleted and written again gets a new etag.
        self._versions = itertools.count(1)

    async def start(self) -> None:
        self._broker.open()

    def end_subscriptions(self) -> None:
        self._broker.close()

    async def stop(self) -> None:
        self._broker.close()

    async def reset(self) -> None:
        # Versions are not reset, so that an etag from before a reset never matches again.
        self._entries.clear()

    async def save(self, service: str, key: str, value: str, etag: str) -> None:
        entries = self._entries.setdefault(service, {})
        current = entries.get(key)
        if etag and (current is None or current.etag != etag):
            held = f"has etag {current.etag!r}" if current else "does not exist"
            raise StatusError(
                grpc.StatusCode.ABORTED,
                f"etag mismatch: {service}/{key} {held}, not {etag!r}; first write wins",
            )
        entries[key] = Entry(key, value, str(next(self._versions)))

    async def get(self, service: str, keys: Iterable[str]) -> list[Entry]:
        entries = self._entries.get(service, {})
        return [entries.get(key) or Entry(key, "", "") for key in keys]

    async def delete(self, service: str, keys: Iterable[str]) -> list[str]:
        entries = self._entries.get(service, {})
        for key in keys:
            # A missing key is no error, as with Dapr.
            entries.pop(key, None)
        return []

    async def query(self, service: str, query: str, limit: int) -> list[Entry]:
        try:
            found = Query.parse(query).run(self._entries.get(service, {}).values())
        except QueryError as error:
            raise InvalidArgumentError(f"query: {error}") from error
        return found[:limit] if limit else found

    async def publish(self, topic: str, cloudevent: bytes) -> None:
        self._broker.publish(Event(topic, cloudevent))

    async def subscribe(self, topics: Iterable[str]) -> Subscription:
        return self._broker.subscribe(topics)
