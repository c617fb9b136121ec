"""How failures of a batch reach the one who published."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from virtufin.api.client._asyncio import call_user

from .results import FailedEvent, OnFailed

logger = logging.getLogger("virtufin.api.dapr.publisher")


class Reports:
    """Tells `on_failed` of each failure; without it, keeps them until they are taken."""

    def __init__(self, on_failed: OnFailed | None) -> None:
        self._on_failed = on_failed
        self._kept: list[FailedEvent] = []
        self._kept_bytes = 0
        self._telling: set[asyncio.Task[Any] | None] = set()
        self.ending = False
        """Whether those who tell are being cancelled."""

    async def tell(self, failed: FailedEvent, size: int) -> None:
        """Reports one failure, of an event of `size` bytes."""
        if self._on_failed is None:
            self.keep(failed, size)
            return
        task = asyncio.current_task()
        self._telling.add(task)
        try:
            await call_user(self._on_failed, failed, is_ending=lambda: self.ending)
        except Exception:
            # The failure itself goes along, as nobody may have taken note of it.
            logger.exception(
                "on_failed failed for event %s of topic %s, which was not published: %s",
                failed.event.id,
                failed.topic,
                failed.error,
            )
        finally:
            self._telling.discard(task)

    def runs_here(self) -> bool:
        """Whether the running task is one of `on_failed`."""
        return asyncio.current_task() in self._telling

    def keep(self, failed: FailedEvent, size: int) -> None:
        """Keeps one failure for `take`."""
        self._kept.append(failed)
        self._kept_bytes += size

    async def tell_kept(self) -> None:
        """Tells `on_failed` of what is kept, as far as there is time."""
        while self._kept and self._on_failed is not None:
            await self.tell(self._kept[0], 0)
            del self._kept[:1]

    def exceed(self, events: int, size: int) -> bool:
        """Whether so much is kept that it must be taken before more may come."""
        return len(self._kept) >= events or self._kept_bytes >= size

    def take(self) -> list[FailedEvent]:
        """What was kept, for one who reports it."""
        kept, self._kept, self._kept_bytes = self._kept, [], 0
        return kept
