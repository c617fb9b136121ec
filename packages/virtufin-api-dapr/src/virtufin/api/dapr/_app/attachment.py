"""The attachment of an app to a synchronous server, whose threads call the app's async handlers."""

from __future__ import annotations

import asyncio
import concurrent.futures
import enum
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from virtufin.api.client.errors import FailedPreconditionError

from .dispatch import Core
from .handler_pool import LATE, AppStoppingError
from .settings import AppSettings

logger = logging.getLogger("virtufin.api.dapr.app")

# A repeated check, because a loop that stops never completes the futures that threads wait for.
_CHECK_INTERVAL = 1.0
"""Seconds between two checks of a waiting thread whether the event loop still runs."""

Result = TypeVar("Result")


class AttachmentState(enum.Enum):
    """The state of an attachment."""

    ATTACHED = "attached"
    """The threads of the App can call handlers."""
    DRAINING = "draining"
    """Running handlers finish within the grace time. New events are answered RETRY."""
    CLOSED = "closed"
    """No handler is called any more. Events are answered RETRY."""


class Attachment:
    """The connection between the threads of a `dapr.ext.grpc.App` and the handlers of a `DaprApp`.

    The handlers run in an event loop. `DaprApp.attach` returns instances of this class. Close an
    attachment before the App stops, or use the attachment as a context manager around `App.run()`.
    """

    def __init__(
        self, core: Core, settings: AppSettings, loop: asyncio.AbstractEventLoop | None
    ) -> None:
        self._core = core
        self._settings = settings
        self._calls: set[concurrent.futures.Future[Any]] = set()
        self._lock = threading.Lock()
        self._state = AttachmentState.ATTACHED
        self._draining: concurrent.futures.Future[None] | None = None
        self._thread: threading.Thread | None = None
        if loop is None:
            loop = asyncio.new_event_loop()
            # A daemon, because an attachment that is never closed must not keep the process alive.
            self._thread = threading.Thread(target=self._run, name="virtufin-dapr-app", daemon=True)
        self._loop = loop
        if self._thread is not None:
            self._thread.start()

    @property
    def closed(self) -> bool:
        """Returns whether the attachment is closed, so that no handler is called any more."""
        return self._state is AttachmentState.CLOSED

    def close(self, grace: float | None = None) -> None:
        """Drains the handlers as `DaprApp.stop` does, then ends their event loop. Idempotent.

        Only an event loop that the attachment has created is ended, and its thread with it; an
        event loop that was passed to `DaprApp.attach` goes on. The App still answers afterwards:
        events with RETRY, the health check with an error. Stop the App after this.

        Args:
            grace: Seconds that running handlers may take. If omitted, the app's `grace`.

        Raises:
            InvalidInputError: `grace` is not a number of at least 0.
            FailedPreconditionError: The method was called in the event loop of the handlers; use
                `aclose()`.
        """
        seconds = self._settings.resolve_grace(grace)
        if _running_loop() is self._loop:
            raise FailedPreconditionError(
                "close() would wait for the event loop that it runs in; use `await aclose()`"
            )
        closing = self._start_draining(seconds)
        if closing is not None:
            self._wait(closing)
        self._end()

    async def aclose(self, grace: float | None = None) -> None:
        """Closes the attachment as `close()` does, without blocking the running event loop.

        If this method is called in the event loop of the handlers, it drains the handlers, but
        cannot end that event loop.

        Args:
            grace: Seconds that running handlers may take. If omitted, the app's `grace`.

        Raises:
            InvalidInputError: `grace` is not a number of at least 0.
        """
        seconds = self._settings.resolve_grace(grace)
        # In a thread, because `close` blocks until the other event loop has drained.
        if _running_loop() is not self._loop:
            await asyncio.to_thread(self.close, seconds)
            return
        closing = self._start_draining(seconds)
        if closing is not None:
            await asyncio.wrap_future(closing)
        self._state = AttachmentState.CLOSED

    def call(self, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Runs a coroutine in the event loop of the handlers and waits for its result.

        The threads of the App call this method.

        Args:
            work: Function that returns the coroutine to run.

        Returns:
            The result of the coroutine.

        Raises:
            AppStoppingError: The attachment is closed, or its event loop has stopped.
            Exception: The error that the coroutine raised.
        """
        # Under the lock, because `close` in another thread may close the event loop between the
        # check and the call, and a closed loop raises.
        with self._lock:
            if self.closed or not self._loop.is_running():
                raise AppStoppingError
            future = asyncio.run_coroutine_threadsafe(work(), self._loop)
            self._calls.add(future)
        try:
            self._wait(future)
            return future.result()
        except concurrent.futures.CancelledError:
            # A drain error, because the event loop ended before the answer was there.
            raise AppStoppingError from None
        finally:
            with self._lock:
                self._calls.discard(future)

    def __enter__(self) -> Attachment:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start_draining(self, grace: float) -> concurrent.futures.Future[None] | None:
        with self._lock:
            if self._state is AttachmentState.ATTACHED and self._loop.is_running():
                self._state = AttachmentState.DRAINING
                self._draining = asyncio.run_coroutine_threadsafe(self._drain(grace), self._loop)
            return self._draining

    async def _drain(self, grace: float) -> None:
        await self._core.drain(grace)
        with self._lock:
            calls = set(self._calls)
        if calls:
            # Waited for, because the answers still have to reach the threads before the loop stops.
            await asyncio.wait([asyncio.wrap_future(call) for call in calls], timeout=LATE)

    def _wait(self, future: concurrent.futures.Future[Any]) -> None:
        while not concurrent.futures.wait((future,), timeout=_CHECK_INTERVAL).done:
            if not self._loop.is_running():
                raise AppStoppingError

    def _end(self) -> None:
        with self._lock:
            self._state = AttachmentState.CLOSED
            thread, self._thread = self._thread, None
        if thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()

    def _run(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        try:
            while not self.closed:
                try:
                    loop.run_forever()
                except (KeyboardInterrupt, SystemExit):
                    # Logged and not raised, because asyncio raises these two from the loop, but
                    # this thread must not end the App's process.
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
        # Raised by asyncio if no event loop runs, which is the usual case for a caller of `close`.
        return None
