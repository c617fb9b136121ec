"""What becomes of one event that was handed to a batch."""

from __future__ import annotations

import asyncio
from collections.abc import Generator

from virtufin.api.client._error_mapping import fresh
from virtufin.api.client._transport import success
from virtufin.api.client.errors import VirtufinError, WrongLoopError
from virtufin.api.client.results import StatusResult


class Receipt:
    """Tells, when awaited, that the sidecar has accepted an event; raises where it has not.

    May be awaited by nobody, or by many, now or later, in the event loop of the batch.

    Example:
        >>> from virtufin.api.dapr import DaprPublisher
        >>> async def publish(publisher: DaprPublisher) -> None:
        ...     async with publisher.batching() as batch:
        ...         receipt = await batch.publish_async("prices", 1.5)
        ...         await receipt
    """

    __slots__ = ("_done", "_error", "_loop", "_told")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._done = False
        self._error: VirtufinError | None = None
        self._told: asyncio.Future[None] | None = None

    @property
    def done(self) -> bool:
        """Whether it is known what became of the event."""
        return self._done

    @property
    def error(self) -> VirtufinError | None:
        """Why the event was not accepted; None where it was, or is still under way."""
        return self._error

    def settle(self, error: VirtufinError | None) -> None:
        """Notes what became of the event."""
        self._done, self._error = True, error
        if self._told is not None:
            self._told.set_result(None)

    def __await__(self) -> Generator[None, None, StatusResult]:
        return self._outcome().__await__()

    async def _outcome(self) -> StatusResult:
        if not self._done:
            if self._loop is not asyncio.get_running_loop():
                raise WrongLoopError("await a receipt in the event loop of its batch")
            if self._told is None:
                self._told = self._loop.create_future()
            # Not the future itself: cancelling one who waits would cancel it for all.
            await asyncio.wait((self._told,))
        if self._error is not None:
            raise fresh(self._error)
        return success()

    def __repr__(self) -> str:
        if not self._done:
            return "<Receipt, under way>"
        return "<Receipt, accepted>" if self._error is None else f"<Receipt, {self._error!r}>"
