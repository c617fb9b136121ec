"""The event loop beside a synchronous server."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from virtufin.api.client.errors import FailedPreconditionError

from .dispatch import Core
from .handler_pool import LATE, DrainedError
from .settings import AppSettings

logger = logging.getLogger("virtufin.api.dapr.app")

_LOOK = 1.0
"""Seconds after which a waiting thread looks whether the loop is still there."""

Result = TypeVar("Result")


class Attachment:
    """The handlers of a DaprApp at a `dapr.ext.grpc.App`: their event loop, and its end.

    Made by `DaprApp.attach`. Close it before the App stops, or use it as a context manager around
    `App.run()`: its end is that of `DaprApp.stop`.
    """

    def __init__(
        self, core: Core, settings: AppSettings, loop: asyncio.AbstractEventLoop | None
    ) -> None:
        self._core = core
        self._settings = settings
        self._calls: set[concurrent.futures.Future[Any]] = set()
        self._lock = threading.Lock()
        self._closing: concurrent.futures.Future[None] | None = None
        self._closed = False
        self._thread: threading.Thread | None = None
        if loop is None:
            loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._run, name="virtufin-dapr-app", daemon=True)
        self._loop = loop
        if self._thread is not None:
            self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether handlers are called no more."""
        return self._closed

    def close(self, grace: float | None = None) -> None:
        """Ends the handlers as `DaprApp.stop` does, then their loop. Idempotent.

        The App goes on to answer: events RETRY, the health check with an error. Stop it afterwards.

        Args:
            grace: Seconds; not given means the app's.

        Raises:
            InvalidInputError: `grace` is not a number of at least 0.
            FailedPreconditionError: Called in the loop in which the handlers run; use `aclose()`.
        """
        seconds = self._settings.grace_or(grace)
        if _running_loop() is self._loop:
            raise FailedPreconditionError(
                "close() would wait for the event loop that it runs in; use `await aclose()`"
            )
        closing = self._begin(seconds)
        if closing is not None:
            self._wait(closing)
        self._end()

    async def aclose(self, grace: float | None = None) -> None:
        """Like `close()`, without blocking the event loop."""
        seconds = self._settings.grace_or(grace)
        if _running_loop() is not self._loop:
            await asyncio.to_thread(self.close, seconds)
            return
        closing = self._begin(seconds)
        if closing is not None:
            await asyncio.wrap_future(closing)
        self._closed = True

    def call(self, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Runs a coroutine in the loop and waits for it; called by the App's threads.

        Raises:
            DrainedError: The attachment is closed, or its loop.
        """
        with self._lock:
            if self._closed or not self._loop.is_running():
                raise DrainedError
            future = asyncio.run_coroutine_threadsafe(work(), self._loop)
            self._calls.add(future)
        try:
            self._wait(future)
            return future.result()
        except concurrent.futures.CancelledError:
            # The loop ended before the answer was there.
            raise DrainedError from None
        finally:
            with self._lock:
                self._calls.discard(future)

    def __enter__(self) -> Attachment:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self, grace: float) -> concurrent.futures.Future[None] | None:
        with self._lock:
            if self._closing is None and not self._closed and self._loop.is_running():
                self._closing = asyncio.run_coroutine_threadsafe(self._drain(grace), self._loop)
            return self._closing

    async def _drain(self, grace: float) -> None:
        await self._core.drain(grace)
        with self._lock:
            calls = set(self._calls)
        if calls:
            # They have their answers; these still have to reach the threads.
            await asyncio.wait([asyncio.wrap_future(call) for call in calls], timeout=LATE)

    def _wait(self, future: concurrent.futures.Future[Any]) -> None:
        while not concurrent.futures.wait((future,), timeout=_LOOK).done:
            if not self._loop.is_running():
                raise DrainedError

    def _end(self) -> None:
        with self._lock:
            self._closed = True
            thread, self._thread = self._thread, None
        if thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()

    def _run(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        try:
            while not self._closed:
                try:
                    loop.run_forever()
                except (KeyboardInterrupt, SystemExit):
                    # asyncio lets these two out of the loop. The process is not this thread's.
                    logger.exception("what a handler raised does not end an attached app")
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            if left:
                loop.run_until_complete(asyncio.wait(left, timeout=LATE))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
