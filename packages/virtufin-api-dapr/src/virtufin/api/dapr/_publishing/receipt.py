"""The receipt of one event of a batch: an object that gets the outcome of publishing the event."""

from __future__ import annotations

import asyncio
from collections.abc import Generator

from virtufin.api.client._error_mapping import copy_error
from virtufin.api.client._transport import success
from virtufin.api.client.errors import VirtufinError, WrongLoopError
from virtufin.api.client.results import StatusResult


class Receipt:
    """The outcome of publishing one event, as an awaitable.

    Awaiting a receipt waits for the outcome. If the sidecar has accepted the event, the result is
    that of `DaprPublisher.publish_async`. If the event has failed, the error of the failure is
    raised. Awaiting is optional. Several tasks may await one receipt, also after the outcome is
    known. They must run in the event loop of the batch.

    Example:
        >>> from virtufin.api.dapr import DaprPublisher
        >>> async def publish(publisher: DaprPublisher) -> None:
        ...     async with publisher.batching() as batch:
        ...         receipt = await batch.publish_async("prices", 1.5)
        ...         await receipt
    """

    # Slots, and a future only for a receipt that is awaited, because every pending event has a
    # receipt.
    __slots__ = ("_done", "_error", "_loop", "_resolved")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._done = False
        self._error: VirtufinError | None = None
        self._resolved: asyncio.Future[None] | None = None

    @property
    def done(self) -> bool:
        """Returns whether the outcome is known: the event was accepted or has failed."""
        return self._done

    @property
    def error(self) -> VirtufinError | None:
        """The error of the failure. None if the event was accepted or the outcome is not known."""
        return self._error

    def resolve(self, error: VirtufinError | None) -> None:
        """Records the outcome and wakes the tasks that await this receipt.

        Args:
            error: The error of the failure. None if the sidecar has accepted the event.
        """
        self._done, self._error = True, error
        if self._resolved is not None:
            self._resolved.set_result(None)

    def __await__(self) -> Generator[None, None, StatusResult]:
        return self._wait().__await__()

    async def _wait(self) -> StatusResult:
        if not self._done:
            # Refused, because a future of another loop would never wake the task, or would break
            # the delivery of the other events of the batch.
            if self._loop is not asyncio.get_running_loop():
                raise WrongLoopError("await a receipt in the event loop of its batch")
            if self._resolved is None:
                self._resolved = self._loop.create_future()
            # Not the future itself, because cancelling one task would cancel the future for all.
            await asyncio.wait((self._resolved,))
        if self._error is not None:
            # A copy, because raising an error adds to its traceback.
            raise copy_error(self._error)
        return success()

    def __repr__(self) -> str:
        if not self._done:
            return "<Receipt, under way>"
        return "<Receipt, accepted>" if self._error is None else f"<Receipt, {self._error!r}>"
