"""`DaprApp`, which handles the deliveries of a Dapr sidecar."""

from __future__ import annotations

import asyncio
import contextvars
import enum
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
from .settings import GRACE, MAX_CONCURRENCY, AppSettings, resolve_settings
from .signal_handlers import call_at_signals

logger = logging.getLogger("virtufin.api.dapr.app")


class AppState(enum.Enum):
    """The state of an app."""

    IDLE = "idle"
    """No server calls the handlers. Handlers can be registered, and the app can be started."""
    STARTING = "starting"
    """The app's own server is opening its port."""
    RUNNING = "running"
    """The app's own server calls the handlers."""
    ATTACHED = "attached"
    """The server of a `dapr.ext.grpc.App` calls the handlers, until the attachment is closed."""
    DRAINING = "draining"
    """Running handlers finish within the grace time. New events are answered RETRY."""


class DaprApp(Decorators):
    """Handles what a Dapr sidecar delivers to its app: events, method calls and input bindings.

    The user registers handlers with the decorators `subscribe`, `method`, `binding` and
    `health_check`. Handlers are coroutine functions. Plain functions work too, but run in the event
    loop and must not block. The end of an event's handler decides the answer to the sidecar:

    - The handler returns: the event is done (SUCCESS). If the event is a request, which carries
      `replytopic` and `correlationid`, the app publishes the returned data as the reply.
    - The handler raises `Drop`: the event is dropped (DROP). If the subscription has a dead-letter
      topic, the sidecar puts the event there.
    - The handler raises anything else: the app requests another delivery (RETRY). The sidecar's
      resiliency policy and the pub/sub component decide about that delivery.

    The constructor does no I/O and needs no event loop. An app can be started again after `stop()`.

    Args:
        pubsub_name: Pub/sub component of the subscriptions that name no component.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free port. If omitted, APP_PORT; if that is not set,
            3010, the default of `dapr.ext.grpc`.
        max_concurrency: Largest number of handlers that run concurrently in this app. Further
            deliveries wait. Default 100.
        grace: Seconds that running handlers get when the app stops. Default 10.
        api_token: Token that the sidecar's deliveries must carry. If omitted, APP_API_TOKEN; None
            accepts deliveries without a token.
        on_error: Function or coroutine function, called with each error of a handler (except
            `Drop`) and of a reply that could not be published. Errors are logged in any case. None
            means only the log.
        sidecar_address: Address of the sidecar that replies are published to, as in
            `DaprPublisher`. If omitted, Dapr's environment variables.
        sidecar_token: Token that the sidecar demands. If omitted, DAPR_API_TOKEN; None sends no
            token.
        source: Source of replies. If omitted, VIRTUFIN_API_SOURCE; if that is not set,
            `urn:com.virtufin.client`.

    Raises:
        InvalidInputError: An argument, or the environment variable behind it, is invalid.

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
        max_concurrency: int = MAX_CONCURRENCY,
        grace: float = GRACE,
        api_token: str | NotGiven | None = NOT_GIVEN,
        on_error: OnError | None = None,
        sidecar_address: str | None = None,
        sidecar_token: str | NotGiven | None = NOT_GIVEN,
        source: str | None = None,
    ) -> None:
        self._settings: AppSettings = resolve_settings(
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

    # Life cycle

    @property
    def port(self) -> int:
        """The port that the app listens on; the configured port if the app is not running."""
        return self._settings.port if self._run is None else self._run.port

    @property
    def running(self) -> bool:
        """Returns whether the app's own server is in use.

        True from the call of `start` or `serve` until `stop` has ended.
        False for an app that is attached to a `dapr.ext.grpc.App`.
        """
        return self._run is not None

    async def serve(self) -> None:
        """Starts the app, waits for SIGTERM, SIGINT, cancellation or `stop()`, and stops the app.

        The app ends as `stop()` describes. Signals are handled only in the main thread. The signal
        handlers from before are restored at the end. Further signals while the app stops have no
        effect.

        Raises:
            FailedPreconditionError: The app is running or attached already.
            OSError: The app cannot listen on its address.
        """
        over = asyncio.Event()
        # Before the start, because a signal during the start must end the app too.
        with call_at_signals(over.set):
            await self._start(over)
            try:
                await over.wait()
            finally:
                await self.stop()

    async def start(self) -> None:
        """Opens the port and returns. The app then runs in this event loop until `stop()`.

        Raises:
            FailedPreconditionError: The app is running or attached already.
            OSError: The app cannot listen on its address.
        """
        await self._start(asyncio.Event())

    async def stop(self, grace: float | None = None) -> None:
        """Drains the app, stops its server and returns after the end. Idempotent.

        Draining means: running handlers finish, and no further handler is started. The health check
        fails. New and waiting events are answered RETRY, so that another instance gets them.
        Handlers that still run after the grace time are cancelled and their events are answered
        RETRY. Then the server stops. Stopping takes the grace time plus two seconds at most.

        Does nothing for an attached app; close the attachment instead.

        Args:
            grace: Seconds that running handlers may take. If omitted, the app's `grace`.

        Raises:
            InvalidInputError: `grace` is not a number of at least 0.
            FailedPreconditionError: A handler of this app called this method. Stopping waits for
                that handler, so start a task for this call instead.
            WrongLoopError: The app runs in another event loop.
        """
        seconds = self._settings.resolve_grace(grace)
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
            run.state = AppState.DRAINING
            # An empty context, because the deadline of the caller must not bound the draining.
            context = contextvars.Context()
            run.stopping = context.run(
                run.loop.create_task, self._stop(run, seconds), name="virtufin-dapr-stop"
            )
        # Shielded, because a caller that is cancelled must not leave the app half stopped.
        await asyncio.shield(run.stopping)

    def attach(self, ext_app: Any, *, loop: asyncio.AbstractEventLoop | None = None) -> Attachment:
        """Registers this app's handlers on a `dapr.ext.grpc.App`, whose server then calls them.

        The App calls handlers in threads. The attachment, which this method returns, passes each
        call on to an event loop, in which the handlers run. Attach before the App runs. The App
        answers the sidecar as this app's own server would, as far as the App can express that; see
        "An App of dapr.ext.grpc" in the documentation.

        Args:
            ext_app: A `dapr.ext.grpc.App`.
            loop: Event loop for the handlers, which must run in another thread than the App. If
                omitted, the attachment creates an event loop and a thread, and its `close()` ends
                both.

        Returns:
            The attachment. The caller must close it before the App stops.

        Raises:
            ImportError: `dapr.ext.grpc` is not installed, is installed by two distributions, or
                does not fit the installed `dapr`.
            InvalidInputError: `ext_app` is not an App, `loop` is not an event loop, or the App has
                a handler of its own for the same topic, method, binding or health check.
            FailedPreconditionError: The app is running or attached already.
            UnsupportedError: The installed version of `dapr` has an App of another form.
        """
        self._require_idle()
        attachment = attach(ext_app, self._registrations, self._make_core(), self._settings, loop)
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

    def _make_core(self) -> Core:
        settings = self._settings
        return Core(
            self._registrations,
            max_concurrency=settings.max_concurrency,
            on_error=settings.on_error,
            publisher=settings.publisher,
            redact=settings.redact,
        )

    async def _start(self, over: asyncio.Event) -> None:
        self._require_idle()
        settings = self._settings
        core = self._make_core()
        handlers = Servicer(core.dispatch, settings.api_token).make_handlers()
        server = Server(settings.host, settings.port, handlers)
        # Set before the await, because a second start must be refused while this one is under way.
        run = self._run = _Run(core, server, over, asyncio.get_running_loop(), settings.port)
        try:
            run.port = await server.start()
        except BaseException:
            # Also after a cancellation, because the app must be free to start again.
            self._run = None
            raise
        # Unless `stop` was called during the start.
        if run.state is AppState.STARTING:
            run.state = AppState.RUNNING
        logger.info("listening on %s port %d", settings.host, run.port)

    async def _stop(self, run: _Run, grace: float) -> None:
        logger.info("ending; running handlers have %.1f s", grace)
        try:
            await run.core.drain(grace)
        finally:
            # With a grace time, because finished answers are still being sent. In a `finally`,
            # because a failure to close the connections must not leave the server running.
            await run.server.stop(LATE)
            self._run = None
            run.over.set()
        logger.info("ended")

    @property
    def _state(self) -> AppState:
        if self._run is not None:
            return self._run.state
        attached = self._attachment is not None and not self._attachment.closed
        return AppState.ATTACHED if attached else AppState.IDLE

    def _require_idle(self) -> None:
        state = self._state
        if state is AppState.ATTACHED:
            raise FailedPreconditionError("the app is attached to a dapr.ext.grpc.App")
        if state is not AppState.IDLE:
            raise FailedPreconditionError("the app is running")


@dataclass
class _Run:
    """The parts of an app with a server of its own, from its start to the end of `stop`."""

    core: Core
    server: Server
    over: asyncio.Event
    loop: asyncio.AbstractEventLoop
    port: int
    state: AppState = AppState.STARTING
    stopping: asyncio.Task[None] | None = None
    """The task that drains the handlers and stops the server; None before `stop`."""
