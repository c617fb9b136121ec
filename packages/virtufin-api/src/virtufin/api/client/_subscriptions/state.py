"""The state and the counters of a subscription."""

from __future__ import annotations

import asyncio
import enum
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass


class SubscriptionState(enum.Enum):
    """The state of a subscription."""

    NEW = "new"
    """Created; nothing has been sent yet."""
    CONNECTING = "connecting"
    """The first stream is being opened."""
    LIVE = "live"
    """The stream is open: events published from now on arrive."""
    RECONNECTING = "reconnecting"
    """The stream was lost; events published in the meantime may be missing."""
    CLOSED = "closed"
    """The subscription was ended on purpose."""
    FAILED = "failed"
    """The subscription failed with an error that trying again would not change."""

    @property
    def ended(self) -> bool:
        """Returns whether the subscription has ended, on purpose or by a failure."""
        return self in (SubscriptionState.CLOSED, SubscriptionState.FAILED)


@dataclass(frozen=True)
class SubscriptionStats:
    """A snapshot of the counters of one subscription."""

    received: int
    """Events read from the gateway."""
    delivered: int
    """Events that the consumer has received. A handler's filters are applied afterwards."""
    buffered: int
    """Events and interruptions that wait for the consumer."""
    interruptions: int
    """Gaps: times the stream was lost or could not be opened. Each gap counts once."""
    attempts: int
    """Attempts to open a stream, the first included."""
    handovers: int = 0
    """Switches from an idle stream to a new one. A switch is no interruption."""


UNDECIDED = frozenset(
    {SubscriptionState.NEW, SubscriptionState.CONNECTING, SubscriptionState.RECONNECTING}
)
"""States before the stream is live or has ended."""
ENDED = frozenset(state for state in SubscriptionState if state.ended)
"""States of a subscription that has ended."""


class Lifecycle:
    """The current state of a subscription, which any number of tasks may await."""

    def __init__(self) -> None:
        self.state = SubscriptionState.NEW
        self._changed: asyncio.Future[None] | None = None
        self._watchers: list[deque[SubscriptionState]] = []

    def move(self, state: SubscriptionState) -> None:
        """Enters a state; does nothing if the state is the current one."""
        if state is self.state:
            return
        self.state = state
        # A queue for each watcher, because a slow one must not miss a short state.
        for watcher in self._watchers:
            watcher.append(state)
        # Replaced at each change, because a future can be set only once.
        changed, self._changed = self._changed, None
        if changed is not None and not changed.done():
            changed.set_result(None)

    async def leaves(self, states: frozenset[SubscriptionState], timeout: float | None) -> bool:
        """Waits until the state is none of `states`.

        Args:
            states: The states to leave.
            timeout: Seconds; None means no limit.

        Returns:
            True if the state is none of `states` now. False if the timeout ended first.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while self.state in states:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                return False
            await self._change(left)
        return True

    async def changes(self) -> AsyncIterator[SubscriptionState]:
        """Yields the current state, then each later state in order, until an ended state."""
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
            # By identity, because the queue of another watcher may be equal.
            self._watchers = [watcher for watcher in self._watchers if watcher is not seen]

    async def _change(self, timeout: float | None) -> None:
        if self._changed is None:
            self._changed = asyncio.get_running_loop().create_future()
        # `wait`, because cancelling one task must not cancel the future that others await.
        await asyncio.wait((self._changed,), timeout=timeout)


class AssumeLiveTimer:
    """A timer that calls `presume` after `wait` seconds, as soon as `connected()` is True.

    `presume` marks the stream as live although the gateway has not answered. Some gateways send
    response headers only with the first event, so missing headers do not mean that the stream is
    not live.
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
            # Soon again, because the connection may come up at any time.
            self._timer = asyncio.get_running_loop().call_later(self._wait / 4, self._fire)

    def cancel(self) -> None:
        """Cancels the timer, because the stream has ended."""
        self._timer.cancel()
