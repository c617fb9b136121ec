"""The life of a batch: its parts, and how it ends without losing anything silently."""

from __future__ import annotations

import asyncio
import logging

import grpc

from virtufin.api.client._failures import from_status
from virtufin.api.client._settings import CLOSE_WAIT
from virtufin.api.client._transport import Transport
from virtufin.api.client.errors import ClientClosedError, FailedPreconditionError
from virtufin.api.dapr._batch_settings import BatchSettings
from virtufin.api.dapr._delivery import Delivery
from virtufin.api.dapr._outcomes import FailedEvent, publish_failed
from virtufin.api.dapr._reports import Reports
from virtufin.api.dapr._room import CLOSED, Room
from virtufin.api.dapr._sender import Sender

logger = logging.getLogger("virtufin.api.dapr.publisher")


class Batch:
    """Room for events, their delivery, and the reports of those that fail, until it is ended."""

    def __init__(
        self,
        transport: Transport,
        sender: Sender,
        settings: BatchSettings,
        siblings: set[Batch],
    ) -> None:
        self._transport = transport
        self._settings = settings
        self._siblings = siblings
        self._reports = Reports(settings.on_failed)
        self.room = Room(settings.max_pending_events, settings.max_pending_bytes)
        self.delivery = Delivery(transport, sender, self.room, self._reports, settings)
        self._ending: asyncio.Future[None] | None = None

    @property
    def closed(self) -> bool:
        """Whether it takes no more."""
        return self._ending is not None

    def check(self) -> None:
        """Verifies that it may be used here and now, and has its publisher end it.

        Raises:
            ClientClosedError: It was closed, or its publisher was.
            WrongLoopError: It belongs to another loop.
            FailedPreconditionError: `on_failed` uses it.
        """
        self.refuse_from_on_failed()
        self._transport.check()
        if self.closed:
            raise ClientClosedError(CLOSED)
        self._siblings.add(self)

    def refuse_from_on_failed(self) -> None:
        """Verifies that `on_failed` does not wait for what waits for it.

        Raises:
            FailedPreconditionError: It is about to.
        """
        if self.delivery.runs_here():
            raise FailedPreconditionError(
                "on_failed must not wait for the batch that waits for it; use the publisher itself"
            )

    def raise_kept(self, *, only_if_full: bool = False) -> None:
        """Tells of failures that nobody was told of yet.

        Raises:
            PublishFailedError: There are some.
        """
        settings = self._settings
        if only_if_full and not self._reports.exceed(
            settings.max_pending_events, settings.max_pending_bytes
        ):
            return
        kept = self._reports.take()
        if kept:
            raise publish_failed(kept, self.delivery.published)

    def log_kept(self, why: str) -> None:
        """Tells the log of failures that cannot be raised."""
        kept = self._reports.take()
        if kept:
            first = kept[0]
            logger.error(
                "%s; events not published: %d, the first is %s of topic %s: %s",
                why,
                len(kept),
                first.event.id,
                first.topic,
                first.error,
            )

    def kept(self) -> list[FailedEvent]:
        """Takes the failures of which nobody was told yet."""
        return self._reports.take()

    async def finish(self, most: float | None = None) -> None:
        """Sends what is left and ends, within the batch's timeout or `most` seconds."""
        self.refuse_from_on_failed()
        self._transport.check_loop()
        if self._ending is not None:
            await asyncio.wait((self._ending,))
            return
        self._ending = asyncio.get_running_loop().create_future()
        self.room.close()
        bounds = [bound for bound in (self._settings.timeout, most) if bound is not None]
        bound = min(bounds) if bounds else None
        try:
            if not await self.delivery.drained(bound):
                await self._abandon(f"{bound:.3g} s were not enough to close the batch")
        except asyncio.CancelledError:
            self.delivery.abandon(ClientClosedError("closing the batch was cancelled"))
            self.log_kept("closing a batch was cancelled")
            raise
        finally:
            self._siblings.discard(self)
            self._ending.set_result(None)

    async def _abandon(self, why: str) -> None:
        error = from_status(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            f"{why}; the sidecar has not accepted the event",
            details=why,
            peer=self._transport.peer,
        )
        await self._transport.see_end(self.delivery.abandon(error))
        telling = self._transport.spawn(self._reports.tell_kept(), "virtufin-publish-failed")
        try:
            await asyncio.wait((telling,), timeout=CLOSE_WAIT)
        finally:
            telling.cancel()

    def __del__(self) -> None:
        lost = self.delivery.queued + self.delivery.in_flight
        if lost:
            logger.error("a batch was never closed; events not published: %d", lost)
        self.log_kept("a batch was never closed")
