"""How an app runs, from arguments, and from Dapr's environment variables where none is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from virtufin.api.client._environment import port_from_environment, resolve_source
from virtufin.api.client._transport import Secrets
from virtufin.api.client._types import NotGiven
from virtufin.api.client._validation import require_name, require_timeout, require_whole, short_repr
from virtufin.api.client.errors import InvalidInputError
from virtufin.api.dapr._publishing import DaprPublisher
from virtufin.api.dapr._sidecar import resolved_token

from .dispatch import OnError
from .registry import checked_function

PORT = 3010
"""The default of `dapr.ext.grpc`."""


@dataclass(frozen=True)
class AppSettings:
    """Checked settings of one app."""

    pubsub_name: str
    host: str
    port: int
    max_concurrency: int
    grace: float
    on_error: OnError | None
    publisher: Callable[[str], DaprPublisher]
    """Makes the publisher of replies for one pub/sub component."""
    api_token: str | None = field(repr=False)
    redact: Callable[[str], str] = field(repr=False)
    """Takes tokens out of texts that leave the app."""

    def grace_or(self, grace: float | None) -> float:
        """The grace time, where none is given the app's."""
        return self.grace if grace is None else _grace(grace)


def resolve(
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
    """Checks everything at once.

    Raises:
        InvalidInputError: Something cannot be used.
    """
    app_token = resolved_token(api_token, "APP_API_TOKEN", "api_token")
    own_token = resolved_token(sidecar_token, "DAPR_API_TOKEN", "sidecar_token")
    own_source = resolve_source(source)

    def publisher(component: str) -> DaprPublisher:
        return DaprPublisher(
            component, address=sidecar_address, api_token=own_token, source=own_source
        )

    publisher(pubsub_name)  # Refuses now what it would refuse at the first reply.
    secrets = [("token", token) for token in (app_token, own_token) if token is not None]
    return AppSettings(
        pubsub_name=pubsub_name,
        host=require_name(host, "host"),
        port=_port(port),
        max_concurrency=require_whole("max_concurrency", max_concurrency, 1),
        grace=_grace(grace),
        on_error=None if on_error is None else checked_function(on_error, "on_error"),
        publisher=publisher,
        api_token=app_token,
        redact=Secrets(None, tuple(secrets)).redact,
    )


def _port(port: int | None) -> int:
    if port is not None:
        return require_whole("port", port, 0, 65535)
    return port_from_environment("APP_PORT", PORT, lowest=0)


def _grace(grace: float) -> float:
    try:
        seconds = require_timeout(grace)
    except InvalidInputError:
        seconds = None
    if seconds is None:
        raise InvalidInputError(
            f"grace must be a finite number of seconds, not {short_repr(grace)}"
        )
    return seconds
