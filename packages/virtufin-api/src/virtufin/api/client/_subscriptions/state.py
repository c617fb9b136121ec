"""What people can see of a subscription."""

from __future__ import annotations

import asyncio
import enum
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass


class SubscriptionState(enum.Enum):
    """Where a subscription is in its life."""

    NEW = "new"
    """Made, nothing sent yet."""
    CONNECTING = "connecting"
    """The first stream is being opened."""
    LIVE = "live"
    """Events published from now on arrive."""
    RECONNECTING = "reconnecting"
    """The stream was lost; events published meanwhile may be missing."""
    CLOSED = "closed"
    """Ended on purpose."""
    FAILED = "failed"
    """Ended by an error that trying again would not change."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self in (SubscriptionState.CLOSED, SubscriptionState.FAILED)


@dataclass(frozen=True)
class SubscriptionStats:
    """Counters of one subscription, as they were when asked for."""

    received: int
    """Events read from the gateway."""
    delivered: int
    """Events handed to the consumer; a handler's filters come after that."""
    buffered: int
    """Events that wait for the consumer now, and reports of gaps among them."""
    interruptions: int
    """Times the stream was lost or could not be opened, each gap counted once."""
    attempts: int
    """Streams opened or tried, the first included."""
    handovers: int = 0
    """Times a silent stream was left for a new one, which is no interruption."""


UNDECIDED = frozenset(
    {SubscriptionState.NEW, SubscriptionState.CONNECTING, SubscriptionState.RECONNECTING}
)
"""States in which it is open whether the stream will be live."""
ENDED = frozenset(state for state in SubscriptionState if state.ended)
"""States after which nothing more comes."""


class Lifecycle:
    """A state that many may await."""

    def __init__(self) -> None:
        self.state = SubscriptionState.NEW
        self._changed: asyncio.Future[None] | None = None
        self._watchers: list[deque[SubscriptionState]] = []

    def move(self, state: SubscriptionState) -> None:
        """Enters a state; the same one again is no change."""
        if state is self.state:
            return
        self.state = state
        for watcher in self._watchers:
            watcher.append(state)
        changed, self._changed = self._changed, None
        if changed is not None and not changed.done():
            changed.set_result(None)

    async def leaves(self, states: frozenset[SubscriptionState], timeout: float | None) -> bool:
        """Waits until the state is none of these; returns whether it came to that in time."""
        until = None if timeout is None else time.monotonic() + timeout
        while self.state in states:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                return False
            await self._change(left)
        return True

    async def changes(self) -> AsyncIterator[SubscriptionState]:
        """Yields the state, then each one entered after it, in order, to the end."""
        seen = deque([self.state])
        self._watchers.append(seen)
        try:
            while True:
                while seen:
                    state = seen.popleft()
                    yield state
                    if state.ended:
                        return
                await self._change(None)
        finally:
            # By identity: another watcher may have seen the same.
            self._watchers = [watcher for watcher in self._watchers if watcher is not seen]

    async def _change(self, timeout: float | None) -> None:
        if self._changed is None:
            self._changed = asyncio.get_running_loop().create_future()
        await asyncio.wait((self._changed,), timeout=timeout)


class Presumption:
    """Takes a stream for live when its connection stands and nothing was heard for a while.

    Some servers send response headers only with the first event, so silence says nothing.
    """

    def __init__(
        self, wait: float, connected: Callable[[], bool], presume: Callable[[], None]
    ) -> None:
        self._wait = wait
        self._connected = connected
        self._presume = presume
        self._timer = asyncio.get_running_loop().call_later(wait, self._fire)

    def _fire(self) -> None:
        if self._connected():
            self._presume()
        else:
            self._timer = asyncio.get_running_loop().call_later(self._wait / 4, self._fire)

    def cancel(self) -> None:
        """The gateway was heard, or the stream is gone."""
        self._timer.cancel()
