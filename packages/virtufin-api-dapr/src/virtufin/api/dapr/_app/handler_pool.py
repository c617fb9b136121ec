"""A pool that runs at most N handlers concurrently and ends within a bounded time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from virtufin.api.client._validation import short_repr
from virtufin.api.dapr._publishing import Capacity

logger = logging.getLogger("virtufin.api.dapr.app")

# Bounded, because a handler may swallow its cancellation and never end.
LATE = 1.0
"""Seconds that a cancelled handler may take to end."""

Result = TypeVar("Result")


class AppStoppingError(Exception):
    """An error for work that was not started, or not finished, because the app is stopping."""

    def __init__(self) -> None:
        super().__init__("the app is ending")


class HandlerCancelledError(Exception):
    """An error for work that ended with a cancellation or another error that is no `Exception`.

    Args:
        cause: The error that the work raised; None for a cancellation.
    """

    # An Exception of its own, because a server never answers a call whose handler raises an error
    # that is no `Exception`.
    def __init__(self, cause: BaseException | None = None) -> None:
        what = "a cancellation that was not requested" if cause is None else short_repr(cause)
        super().__init__(f"the handler raised {what}")
        self.__cause__ = cause


class HandlerPool:
    """Runs handlers in tasks of their own, at most `limit` concurrently, in order of arrival.

    Args:
        limit: Largest number of handlers that run concurrently.
    """

    def __init__(self, limit: int) -> None:
        self._capacity = Capacity(limit)
        self._running: dict[asyncio.Task[Any], asyncio.Future[Any]] = {}

    @property
    def draining(self) -> bool:
        """Returns whether the pool refuses new work, because the app is stopping."""
        return self._capacity.closed

    def includes(self, task: asyncio.Task[Any] | None) -> bool:
        """Returns whether a task runs a handler of this pool."""
        return task in self._running

    async def run(self, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Waits for capacity, runs the work and returns the result.

        Cancelling this method cancels the work.

        Args:
            work: Function that returns the coroutine to run.

        Raises:
            AppStoppingError: The app is stopping.
            HandlerCancelledError: The work raised what is no `Exception`, such as a cancellation.
            Exception: Any other error that the work raised.
        """
        await self._capacity.acquire()
        loop = asyncio.get_running_loop()
        # A future beside the task, because the answer must not wait for work that does not end.
        answer: asyncio.Future[Result] = loop.create_future()
        task = loop.create_task(work(), name="virtufin-dapr-handler")
        self._running[task] = answer
        task.add_done_callback(self._on_task_end)
        try:
            return await answer
        except asyncio.CancelledError:
            task.cancel()
            raise

    async def drain(self, grace: float) -> None:
        """Refuses new and waiting work, waits for running work, and cancels the rest.

        When the grace time is over, every caller of `run` has an answer, even if the work swallows
        its cancellation. Such work is logged.

        Args:
            grace: Seconds that running work may take.
        """
        self._capacity.close(AppStoppingError)
        if self._running:
            await asyncio.wait(tuple(self._running), timeout=grace)
        left = dict(self._running)
        for task, answer in left.items():
            task.cancel()
            if not answer.done():
                answer.set_exception(AppStoppingError())
        if left:
            logger.warning("%d handlers were cancelled: the grace time is over", len(left))
            _, late = await asyncio.wait(tuple(left), timeout=LATE)
            for task in late:
                logger.error("a handler goes on although it was cancelled: %r", task)

    def _on_task_end(self, task: asyncio.Task[Any]) -> None:
        answer = self._running.pop(task)
        self._capacity.release()
        # Fetched even if the answer is set, because asyncio logs exceptions that are never fetched.
        error = None if task.cancelled() else task.exception()
        if answer.done():
            return
        if task.cancelled():
            answer.set_exception(HandlerCancelledError())
        elif error is None:
            answer.set_result(task.result())
        else:
            answer.set_exception(
                error if isinstance(error, Exception) else HandlerCancelledError(error)
            )
