"""Running handlers: so many at a time, and to a bounded end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from virtufin.api.client._validation import short_repr
from virtufin.api.dapr._publishing import Capacity

logger = logging.getLogger("virtufin.api.dapr.app")

LATE = 1.0
"""Seconds that a cancelled handler may take to end."""

Result = TypeVar("Result")


class DrainedError(Exception):
    """The work was not begun, or not finished, because the app is ending."""

    def __init__(self) -> None:
        super().__init__("the app is ending")


class CutError(Exception):
    """The work ended by what is no `Exception`: a cancellation, unless `cause` is something else.

    Such a thing must not go on to the server, which would then never answer.
    """

    def __init__(self, cause: BaseException | None = None) -> None:
        what = "a cancellation that nobody had asked for" if cause is None else short_repr(cause)
        super().__init__(f"the handler let out {what}")
        self.__cause__ = cause


class Work:
    """Runs coroutines in tasks of its own, `limit` at a time, first come, first served."""

    def __init__(self, limit: int) -> None:
        self._capacity = Capacity(limit)
        self._running: dict[asyncio.Task[Any], asyncio.Future[Any]] = {}
        self.draining = False

    def includes(self, task: asyncio.Task[Any] | None) -> bool:
        """Whether a task is one of a handler."""
        return task in self._running

    async def run(self, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Waits for a place, runs the work and returns what it returns.

        Cancelling this cancels the work. The answer never waits for work that does not end: the
        two are apart.

        Raises:
            DrainedError: The app is ending.
            CutError: The work let out what is no `Exception`, such as a cancellation.
        """
        await self._capacity.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Result] = loop.create_future()
        task = loop.create_task(work(), name="virtufin-dapr-handler")
        self._running[task] = answer
        task.add_done_callback(self._ended)
        try:
            return await answer
        except asyncio.CancelledError:
            task.cancel()
            raise

    async def drain(self, grace: float) -> None:
        """Refuses new work and what waits; gives the rest `grace` seconds, then cancels it.

        Whoever waits for an answer has one when the grace time is over, also where the work
        swallows its cancellation; that is logged.
        """
        self.draining = True
        self._capacity.close(DrainedError)
        if self._running:
            await asyncio.wait(tuple(self._running), timeout=grace)
        left = dict(self._running)
        for task, answer in left.items():
            task.cancel()
            if not answer.done():
                answer.set_exception(DrainedError())
        if left:
            logger.warning("%d handlers were cancelled: the grace time is over", len(left))
            _, late = await asyncio.wait(tuple(left), timeout=LATE)
            for task in late:
                logger.error("a handler goes on although it was cancelled: %r", task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        answer = self._running.pop(task)
        self._capacity.release()
        error = None if task.cancelled() else task.exception()
        if answer.done():
            return
        if task.cancelled():
            answer.set_exception(CutError())
        elif error is None:
            answer.set_result(task.result())
        else:
            answer.set_exception(error if isinstance(error, Exception) else CutError(error))
