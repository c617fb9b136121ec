"""The interface of the stores that keep the gateway's state and carry its events.

`memory` implements the interface in this process. `dapr` implements it on a Dapr sidecar.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

from .broker import Subscription


@dataclass(frozen=True)
class Entry:
    """The value of a key with its etag, which changes with each write. Missing keys have none."""

    key: str
    value: str
    # Empty for a missing key, because an empty value alone may also be a stored one.
    etag: str


class Backend(ABC):
    """A store of state, and a carrier of events from publishers to subscribers.

    A method that fails raises `StatusError` with the status for the client's call.
    """

    # Service and key are separate arguments, because each backend combines them in its own way.
    # Most methods are coroutines, because a backend on Dapr calls its sidecar in them.

    @abstractmethod
    async def start(self) -> None:
        """Prepares the store, before the gateway serves calls. Called at each start."""

    @abstractmethod
    def end_subscriptions(self) -> None:
        """Ends all subscriptions with UNAVAILABLE, and refuses new ones until `start`.

        Calls that read and write state are still answered.
        """

    @abstractmethod
    async def stop(self) -> None:
        """Ends all subscriptions and releases what `start` has acquired."""

    @abstractmethod
    async def reset(self) -> None:
        """Deletes the state."""

    @abstractmethod
    async def save(self, service: str, key: str, value: str, etag: str) -> None:
        """Writes a value.

        Args:
            service: Service that the key belongs to.
            key: Key of the value.
            value: Value to write.
            etag: Etag of the value that may be overwritten. Empty means any value or none.

        Raises:
            StatusError: The key has another etag, or does not exist (ABORTED).
        """

    @abstractmethod
    async def get(self, service: str, keys: Iterable[str]) -> list[Entry]:
        """Returns an entry for each key, in the given order.

        The entry for a missing key has an empty value and an empty etag.

        Args:
            service: Service that the keys belong to.
            keys: The keys.
        """

    @abstractmethod
    async def delete(self, service: str, keys: Iterable[str]) -> list[str]:
        """Deletes keys and returns the keys that could not be deleted. Missing keys are no error.

        Args:
            service: Service that the keys belong to.
            keys: The keys.
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
        """Delivers an event to all subscriptions of a topic.

        Args:
            topic: The topic.
            cloudevent: The event as a serialized CloudEvent.
        """

    @abstractmethod
    async def subscribe(self, topics: Iterable[str]) -> Subscription:
        """Returns a subscription that receives events from now on. The caller must close it.

        Args:
            topics: Topics to subscribe to. Empty means all topics.
        """
