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
"""Seconds that a cancelled handler may take to end, before the app goes on without its end."""

Result = TypeVar("Result")


class AppStoppingError(Exception):
    """Raised for work that was not started, or not finished, because the app is stopping."""

    def __init__(self) -> None:
        super().__init__("the app is ending")


class HandlerCancelledError(Exception):
    """Raised by `HandlerPool.run` if the handler raised an error that is not an `Exception`.

    Args:
        cause: The error that the work raised. None means CancelledError.
    """

    # An Exception of its own, because a server never answers a call whose handler raises an error
    # that is no `Exception`.
    def __init__(self, cause: BaseException | None = None) -> None:
        what = "a cancellation that was not requested" if cause is None else short_repr(cause)
        super().__init__(f"the handler raised {what}")
        self.__cause__ = cause


class HandlerPool:
    """Runs each handler in a task of its own, at most `limit` concurrently.

    Handlers start in the order of the calls of `run`. The texts name the run of a handler "work".

    Args:
        limit: Largest number of handlers that run concurrently.
    """

    def __init__(self, limit: int) -> None:
        self._capacity = Capacity(limit)
        self._running: dict[asyncio.Task[Any], asyncio.Future[Any]] = {}

    @property
    def draining(self) -> bool:
        """Returns whether `drain` was called, so that the pool refuses new work."""
        return self._capacity.closed

    def includes(self, task: asyncio.Task[Any] | None) -> bool:
        """Returns whether a task runs a handler of this pool."""
        return task in self._running

    async def run(self, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Runs a coroutine in a task and returns its result; waits first while `limit` are running.

        Cancelling this method cancels the work.

        Args:
            work: Function that returns the coroutine to run. Not called if the app stops first.

        Raises:
            AppStoppingError: The app is stopping: the work was not started, or has not ended within
                the grace time.
            HandlerCancelledError: The work raised an error that is no `Exception`, such as
                CancelledError.
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
        """Ends the pool: refuses new and waiting work, and waits for running work.

        Work that still runs after the grace time is cancelled, and its caller of `run` gets
        `AppStoppingError` at once. Work that does not end within another `LATE` seconds is logged
        and left alone.

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
