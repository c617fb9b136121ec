"""The interface between the servicers and a backend that keeps state and carries events.

`memory` implements the interface in this process. `dapr` implements it on a Dapr sidecar.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

from .broker import Subscription


@dataclass(frozen=True)
class Entry:
    """An entry of the state store."""

    key: str
    value: str
    # Empty for a missing key, because an empty value alone may also be a stored one.
    etag: str


class Backend(ABC):
    """A store of state and a carrier of events.

    Methods reject a call by raising `StatusError` with the status for the caller.
    """

    # Service and key are separate arguments, because each backend combines them in its own way.
    # Most methods are coroutines, because a backend on Dapr calls its sidecar in them.

    @abstractmethod
    async def start(self) -> None:
        """Prepares the backend. The emulator calls this at each start."""

    @abstractmethod
    def end_subscriptions(self) -> None:
        """Ends all current and future subscriptions with UNAVAILABLE. State stays available."""

    @abstractmethod
    async def stop(self) -> None:
        """Releases everything that `start` acquired, including subscriptions."""

    @abstractmethod
    async def reset(self) -> None:
        """Deletes all state."""

    @abstractmethod
    async def save(self, service: str, key: str, value: str, etag: str) -> None:
        """Writes a value.

        Args:
            service: Service that the key belongs to.
            key: Key of the value.
            value: Value to write.
            etag: Version that may be overwritten. Empty means any version.

        Raises:
            StatusError: The stored version has another etag (ABORTED).
        """

    @abstractmethod
    async def get(self, service: str, keys: Iterable[str]) -> list[Entry]:
        """Returns the entries of keys in the given order.

        An entry for a missing key has an empty value and an empty etag.
        """

    @abstractmethod
    async def delete(self, service: str, keys: Iterable[str]) -> list[str]:
        """Deletes keys and returns the keys that could not be deleted.

        A missing key is no error.
        """

    @abstractmethod
    async def query(self, service: str, query: str, limit: int) -> list[Entry]:
        """Returns the entries that match a Dapr state query.

        Args:
            service: Service that the entries belong to.
            query: Query in Dapr's state query language, as JSON.
            limit: Largest number of entries. 0 means no limit.
        """

    @abstractmethod
    async def publish(self, topic: str, cloudevent: bytes) -> None:
        """Delivers a serialized CloudEvent to all subscriptions of a topic."""

    @abstractmethod
    async def subscribe(self, topics: Iterable[str]) -> Subscription:
        """Returns a live subscription. The caller must close it.

        Args:
            topics: Topics to subscribe to. Empty means all topics.
        """
