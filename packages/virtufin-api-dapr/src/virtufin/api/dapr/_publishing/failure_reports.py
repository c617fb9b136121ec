"""Reports of failed events: calls of the user's `on_failed`, or a list for the next error."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from virtufin.api.client._asyncio import call_user

from .results import FailedEvent, OnFailed

logger = logging.getLogger("virtufin.api.dapr.publisher")


class Reports:
    """Calls `on_failed` with each failed event.

    Without `on_failed`, failures are retained until `pop_all`. Its caller raises or logs them.
    """

    def __init__(self, on_failed: OnFailed | None) -> None:
        """Creates an object without failures.

        Args:
            on_failed: Function of the user, plain or async. None means that failures are retained.
        """
        self._on_failed = on_failed
        self._kept: list[FailedEvent] = []
        self._kept_bytes = 0
        self._reporting: set[asyncio.Task[Any] | None] = set()
        self.ending = False
        """True after the batch has cancelled the tasks that call `on_failed`; set by the batch."""

    async def report(self, failed: FailedEvent, size: int) -> None:
        """Calls `on_failed` with a failure and waits for its end, or else retains the failure.

        An error of `on_failed` is logged and not raised.

        Args:
            failed: The failed event.
            size: Size of the event in bytes, for `is_over_limit`.
        """
        if self._on_failed is None:
            self.retain(failed, size)
            return
        task = asyncio.current_task()
        self._reporting.add(task)
        try:
            # `is_ending` for Python 3.10, because that version cannot distinguish a cancellation of
            # this task from a cancellation of something that `on_failed` awaited.
            await call_user(self._on_failed, failed, is_ending=lambda: self.ending)
        except Exception:
            # Logged with the failure itself, because `on_failed` may not have recorded it. Not
            # raised, because the other events of the batch must still be delivered.
            logger.exception(
                "on_failed failed for event %s of topic %s, which was not published: %s",
                failed.event.id,
                failed.topic,
                failed.error,
            )
        finally:
            self._reporting.discard(task)

    def owns_running_task(self) -> bool:
        """Returns whether the current asyncio task is calling `on_failed`."""
        # Looked at first, because every event comes here, and failures are rare.
        return bool(self._reporting) and asyncio.current_task() in self._reporting

    def retain(self, failed: FailedEvent, size: int) -> None:
        """Adds a failure to the retained failures.

        Args:
            failed: The failed event.
            size: Size of the event in bytes, for `is_over_limit`.
        """
        self._kept.append(failed)
        self._kept_bytes += size

    async def report_retained(self) -> None:
        """Calls `on_failed` with each retained failure, one after the other, and removes it.

        Does nothing without `on_failed`.
        """
        while self._kept and self._on_failed is not None:
            await self.report(self._kept[0], 0)
            # Removed afterwards, because a failure whose report is cancelled must still be raised
            # or logged.
            del self._kept[:1]

    def is_over_limit(self, events: int, size: int) -> bool:
        """Returns whether the retained failures have reached at least one of two limits.

        Args:
            events: Limit for the number of retained failures.
            size: Limit for the total size of their events in bytes.
        """
        return len(self._kept) >= events or self._kept_bytes >= size

    def pop_all(self) -> list[FailedEvent]:
        """Returns the retained failures and removes them from this object."""
        kept, self._kept, self._kept_bytes = self._kept, [], 0
        return kept
