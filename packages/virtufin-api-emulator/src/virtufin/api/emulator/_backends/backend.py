"""What the servicers need from whatever keeps state and carries events.

`memory` is the implementation here; one on a Dapr sidecar fits the same interface.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

from .broker import Subscription


@dataclass(frozen=True)
class Entry:
    """A value of the state store."""

    key: str
    value: str
    etag: str


class Backend(ABC):
    """State and events. Refuses by raising `RefusedError` with the status to answer."""

    @abstractmethod
    async def start(self) -> None:
        """Gets ready; called each time the emulator starts."""

    @abstractmethod
    def end_subscriptions(self) -> None:
        """Ends every subscription, and each new one, with UNAVAILABLE; the rest goes on."""

    @abstractmethod
    async def stop(self) -> None:
        """Lets go of what `start` acquired, subscriptions included."""

    @abstractmethod
    async def reset(self) -> None:
        """Forgets all state."""

    @abstractmethod
    async def save(self, service: str, key: str, value: str, etag: str) -> None:
        """Writes a value; with an etag only over exactly that version (ABORTED otherwise)."""

    @abstractmethod
    async def get(self, service: str, keys: Iterable[str]) -> list[Entry]:
        """The entries of these keys in the order asked; a missing one has no value and no etag."""

    @abstractmethod
    async def delete(self, service: str, keys: Iterable[str]) -> list[str]:
        """Deletes keys, missing ones too; returns those that could not be deleted."""

    @abstractmethod
    async def query(self, service: str, query: str, limit: int) -> list[Entry]:
        """Entries that match a Dapr state query; at most `limit`, where that is not 0."""

    @abstractmethod
    async def publish(self, topic: str, cloudevent: bytes) -> None:
        """Hands a serialized CloudEvent to everyone subscribed to `topic`."""

    @abstractmethod
    async def subscribe(self, topics: Iterable[str]) -> Subscription:
        """A live subscription, to be closed by the caller; no topics means all topics."""
