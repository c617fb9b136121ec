"""DaprApp: the receiving side of a Dapr sidecar."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from dataclasses import dataclass
from typing import Any

from virtufin.api.client._types import NOT_GIVEN, NotGiven
from virtufin.api.client.errors import FailedPreconditionError, WrongLoopError

from .attachment import Attachment
from .decorators import Decorators
from .dispatch import Core, OnError
from .ext_app import attach
from .handler_pool import LATE
from .server import Server
from .servicer import Servicer
from .settings import AppSettings, resolve
from .signals import on_ending

logger = logging.getLogger("virtufin.api.dapr.app")


class DaprApp(Decorators):
    """Handles what a Dapr sidecar delivers: events, calls of methods, input bindings.

    Handlers are coroutine functions. A plain function works too; it runs in the event loop, so it
    must not block. For an event, what the handler does is the answer to the sidecar:

    - it returns: the event is done (SUCCESS). Data that it returns is published as the reply where
      the event is a request, which carries `replytopic` and `correlationid`;
    - it raises `Drop`: the event is given up (DROP); the sidecar keeps it on the dead-letter topic
      where the subscription has one;
    - it raises anything else: the event is to be delivered again (RETRY). What comes of that is
      up to the sidecar's resiliency policy and the pub/sub component.

    The constructor does no I/O and needs no event loop. An app that was stopped can be started
    again.

    Args:
        pubsub_name: Name of the pub/sub component of subscriptions that name none.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one. Not given: APP_PORT, else 3010, the default of
            `dapr.ext.grpc`.
        max_concurrency: Handlers that run at a time, over the whole app; others wait.
        grace: Seconds that running handlers get when the app ends.
        api_token: Token that the sidecar's deliveries must carry; None for none. Not given:
            APP_API_TOKEN.
        on_error: Called with what a handler raised (not with `Drop`), and with replies that could
            not be published; plain or async. It is logged in any case.
        sidecar_address: Where replies are published, see `DaprPublisher`. Not given: Dapr's
            environment variables.
        sidecar_token: Token that the sidecar demands. Not given: DAPR_API_TOKEN.
        source: Source of replies. Not given: VIRTUFIN_API_SOURCE, else `urn:com.virtufin.client`.

    Raises:
        InvalidInputError: An argument, or the environment variable behind it, cannot be used.

    Example:
        >>> from virtufin.api.dapr import DaprApp
        >>> app = DaprApp(pubsub_name="pubsub")
        >>> @app.subscribe("prices")
        ... async def on_price(event):
        ...     print(event.data_as_json())
        >>> async def main():
        ...     await app.serve()  # until SIGTERM
    """

    def __init__(
        self,
        pubsub_name: str = "pubsub",
        *,
        host: str = "127.0.0.1",
        port: int | None = None,
        max_concurrency: int = 100,
        grace: float = 10.0,
        api_token: str | NotGiven | None = NOT_GIVEN,
        on_error: OnError | None = None,
        sidecar_address: str | None = None,
        sidecar_token: str | NotGiven | None = NOT_GIVEN,
        source: str | None = None,
    ) -> None:
        self._settings: AppSettings = resolve(
            pubsub_name=pubsub_name,
            host=host,
            port=port,
            max_concurrency=max_concurrency,
            grace=grace,
            api_token=api_token,
            on_error=on_error,
            sidecar_address=sidecar_address,
            sidecar_token=sidecar_token,
            source=source,
        )
        super().__init__(self._settings.pubsub_name)
        self._run: _Run | None = None
        self._attachment: Attachment | None = None

    # Life

    @property
    def port(self) -> int:
        """The port that the app listens on; before it runs, the one that it would ask for."""
        return self._settings.port if self._run is None else self._run.port

    @property
    def running(self) -> bool:
        """Whether the app's own server runs; true until the end of draining."""
        return self._run is not None

    async def serve(self) -> None:
        """Runs until SIGTERM, SIGINT, cancellation or `stop()`, then ends as `stop()` does.

        Signals are taken in the main thread only, and given back afterwards. More of them while
        the app ends change nothing.

        Raises:
            FailedPreconditionError: The app is running already.
            OSError: It cannot listen at its address.
        """
        over = asyncio.Event()
        with on_ending(over.set):
            await self._start(over)
            try:
                await over.wait()
            finally:
                await self.stop()

    async def start(self) -> None:
        """Begins to listen, and returns.

        Raises:
            FailedPreconditionError: The app is running already.
            OSError: It cannot listen at its address.
        """
        await self._start(asyncio.Event())

    async def stop(self, grace: float | None = None) -> None:
        """Ends the app. Idempotent.

        From now on the health check says no, and events are answered RETRY, those that wait for
        their turn too, so that another instance gets them. Running handlers have the grace time;
        after it they are cancelled and their events answered RETRY. Then the server ends. All that
        takes the grace time and two seconds at most.

        Args:
            grace: Seconds; not given means the app's.

        Raises:
            InvalidInputError: `grace` is not a number of at least 0.
            FailedPreconditionError: A handler waits for it, which waits for that handler; start a
                task instead.
            WrongLoopError: The app runs in another event loop.
        """
        seconds = self._settings.grace_or(grace)
        run = self._run
        if run is None:
            return
        if run.loop is not asyncio.get_running_loop():
            raise WrongLoopError("stop the app in the event loop in which it was started")
        if run.core.work.includes(asyncio.current_task()):
            raise FailedPreconditionError(
                "a handler cannot wait for the end of its own app; start a task for it"
            )
        if run.stopping is None:
            context = contextvars.Context()
            run.stopping = context.run(
                run.loop.create_task, self._stop(run, seconds), name="virtufin-dapr-stop"
            )
        await asyncio.shield(run.stopping)

    def attach(self, ext_app: Any, *, loop: asyncio.AbstractEventLoop | None = None) -> Attachment:
        """Registers the same handlers on a `dapr.ext.grpc.App`, whose server then calls them.

        The handlers run in an event loop, in a thread of its own unless `loop` is given; the
        attachment ends both. Attach before the App runs. Results are those of the app's own server
        as far as that App can express them; see "An App of dapr.ext.grpc" in the documentation.

        Args:
            ext_app: A `dapr.ext.grpc.App`.
            loop: A loop that runs in another thread than the App.

        Raises:
            ImportError: `dapr.ext.grpc` is not installed, or twice.
            InvalidInputError: `ext_app` or `loop` is none, or a handler cannot be registered there.
            FailedPreconditionError: The app is running, or attached already.
        """
        self._check_idle()
        attachment = attach(ext_app, self._registrations, self._core(), self._settings, loop)
        self._attachment = attachment
        return attachment

    async def __aenter__(self) -> DaprApp:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def __repr__(self) -> str:
        state = "running" if self.running else "not running"
        count = sum(len(topic.routes) for topic in self._registrations.topics)
        return (
            f"<DaprApp {state} on {self._settings.host}:{self.port}, {count} event handlers, "
            f"{len(self._registrations.methods)} methods, "
            f"{len(self._registrations.bindings)} bindings>"
        )

    # Parts

    def _core(self) -> Core:
        settings = self._settings
        return Core(
            self._registrations,
            max_concurrency=settings.max_concurrency,
            on_error=settings.on_error,
            publisher=settings.publisher,
            redact=settings.redact,
        )

    async def _start(self, over: asyncio.Event) -> None:
        self._check_idle()
        settings = self._settings
        core = self._core()
        handlers = Servicer(core.dispatch, settings.api_token).handlers()
        server = Server(settings.host, settings.port, handlers)
        run = self._run = _Run(core, server, over, asyncio.get_running_loop(), settings.port)
        try:
            run.port = await server.start()
        except BaseException:
            self._run = None
            raise
        logger.info("listening on %s port %d", settings.host, run.port)

    async def _stop(self, run: _Run, grace: float) -> None:
        logger.info("ending; running handlers have %.1f s", grace)
        try:
            await run.core.drain(grace)
        finally:
            # Answers that were given still have to leave.
            await run.server.stop(LATE)
            self._run = None
            run.over.set()
        logger.info("ended")

    def _check_idle(self) -> None:
        if self._run is not None:
            raise FailedPreconditionError("the app is running")
        if self._attachment is not None and not self._attachment.closed:
            raise FailedPreconditionError("the app is attached to a dapr.ext.grpc.App")


@dataclass
class _Run:
    """The app between start and stop."""

    core: Core
    server: Server
    over: asyncio.Event
    loop: asyncio.AbstractEventLoop
    port: int
    stopping: asyncio.Task[None] | None = None
