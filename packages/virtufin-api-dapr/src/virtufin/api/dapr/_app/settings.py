"""The settings of an app, from arguments or else from Dapr's environment variables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from virtufin.api.client._environment import port_from_environment, resolve_source
from virtufin.api.client._transport import Credentials
from virtufin.api.client._types import NotGiven
from virtufin.api.client._validation import require_name, require_timeout, require_whole, short_repr
from virtufin.api.client.errors import InvalidInputError
from virtufin.api.dapr._publishing import DaprPublisher
from virtufin.api.dapr._sidecar import resolve_token

from .dispatch import OnError
from .registry import require_function

# 3010, because that is the default of `dapr.ext.grpc`.
PORT = 3010
"""Default port of an app."""
# More than a machine has cores, because handlers mostly wait for other services.
MAX_CONCURRENCY = 100
"""Largest number of concurrent handlers of an app, unless the user sets another."""
GRACE = 10.0
"""Seconds that running handlers get when an app stops, unless the user sets another."""


@dataclass(frozen=True)
class AppSettings:
    """The checked settings of one app, with the meaning of the arguments of `DaprApp`."""

    pubsub_name: str
    host: str
    port: int
    max_concurrency: int
    grace: float
    on_error: OnError | None
    publisher: Callable[[str], DaprPublisher]
    """Function that creates the publisher of replies for a component. Its caller closes it."""
    # Not in the repr, because tokens must not appear in logs.
    api_token: str | None = field(repr=False)
    redact: Callable[[str], str] = field(repr=False)
    """Function that removes tokens from texts that leave the app."""

    def resolve_grace(self, grace: float | None) -> float:
        """Returns a grace time, or the grace time of the app for None.

        Args:
            grace: Seconds that running handlers may take. None means the setting of the app.

        Raises:
            InvalidInputError: The grace time is not a finite number of at least 0.
        """
        return self.grace if grace is None else _require_grace(grace)


def resolve_settings(
    *,
    pubsub_name: str,
    host: str,
    port: int | None,
    max_concurrency: int,
    grace: float,
    api_token: str | NotGiven | None,
    on_error: OnError | None,
    sidecar_address: str | None,
    sidecar_token: str | NotGiven | None,
    source: str | None,
) -> AppSettings:
    """Returns the settings from the arguments of `DaprApp` and from environment variables.

    Raises:
        InvalidInputError: An argument, or the environment variable behind it, is invalid.
    """
    app_token = resolve_token(api_token, "APP_API_TOKEN", "api_token")
    own_token = resolve_token(sidecar_token, "DAPR_API_TOKEN", "sidecar_token")
    own_source = resolve_source(source)

    def make_publisher(component: str) -> DaprPublisher:
        return DaprPublisher(
            component, address=sidecar_address, api_token=own_token, source=own_source
        )

    # Created once here, because invalid arguments must raise now and not at the first reply.
    make_publisher(pubsub_name)
    secrets = [("token", token) for token in (app_token, own_token) if token is not None]
    return AppSettings(
        pubsub_name=pubsub_name,
        host=require_name(host, "host"),
        port=_resolve_port(port),
        max_concurrency=require_whole("max_concurrency", max_concurrency, 1),
        grace=_require_grace(grace),
        on_error=None if on_error is None else require_function(on_error, "on_error"),
        publisher=make_publisher,
        api_token=app_token,
        redact=Credentials(None, tuple(secrets)).redact,
    )


def _resolve_port(port: int | None) -> int:
    if port is not None:
        return require_whole("port", port, 0, 65535)
    return port_from_environment("APP_PORT", PORT, lowest=0)


def _require_grace(grace: float) -> float:
    try:
        seconds = require_timeout(grace)
    except InvalidInputError:
        seconds = None
    # None is refused, because an app must end in a bounded time.
    if seconds is None:
        raise InvalidInputError(
            f"grace must be a finite number of seconds, not {short_repr(grace)}"
        )
    return seconds
