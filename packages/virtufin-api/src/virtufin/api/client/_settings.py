"""Settings of a client: frozen dataclasses, checked before anything is sent."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from virtufin.api.client._types import ApiKey
from virtufin.api.client._validation import require_positive, require_whole
from virtufin.api.client.errors import InvalidInputError, VirtufinError

HOST = "localhost"
GRPC_PORT = 5002
TIMEOUT = 30.0
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
SOURCE = "urn:com.virtufin.client"
REFLECTION_TIMEOUT = 2.0
CLOSE_WAIT = 5.0
"""Seconds that closing waits at most for cancelled tasks to end."""

# In seconds, because gRPC takes the interval as milliseconds in 32 bits.
_LONGEST_PING = 2e6
# A millisecond, because gRPC's service config rejects a backoff that rounds to zero.
_SHORTEST_BACKOFF = 0.001
_LARGEST_MULTIPLIER = 1e6


@dataclass(frozen=True)
class TlsSettings:
    """Transport security.

    `tls=True` is the same as `TlsSettings()`: the client trusts gRPC's default certificate
    authorities, and sends no certificate of its own.
    """

    ca: bytes | str | os.PathLike[str] | None = None
    """Certificate authorities to trust instead of gRPC's defaults: PEM, or path of a PEM file."""
    certificate: bytes | str | os.PathLike[str] | None = None
    """The client's certificate chain for mutual TLS: PEM, or a path. Needs `key`."""
    # Not in the `repr`, because logs and tracebacks would show a private key.
    key: bytes | str | os.PathLike[str] | None = field(default=None, repr=False)
    """The private key of `certificate`: PEM, or a path."""
    server_name: str | None = None
    """Name to verify in the server's certificate, if that name differs from the host."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise InvalidInputError("TlsSettings needs certificate and key together, or neither")
        for name in ("ca", "certificate", "key"):
            source = getattr(self, name)
            if source is not None and not isinstance(source, (bytes, str, os.PathLike)):
                # Only the type is named, because the value may be a private key.
                raise InvalidInputError(
                    f"TlsSettings.{name} must be PEM or a path, not {type(source).__name__}"
                )
        if self.server_name is not None and not isinstance(self.server_name, str):
            raise InvalidInputError(f"TlsSettings.server_name must be text: {self.server_name!r}")


@dataclass(frozen=True)
class KeepaliveSettings:
    """HTTP/2 pings, which find connections whose other end is gone without closing them."""

    time: float = 20.0
    """Seconds without traffic on a connection before a ping is sent."""
    timeout: float = 10.0
    """Seconds to wait for the answer to a ping before the connection counts as broken."""

    def __post_init__(self) -> None:
        require_positive("KeepaliveSettings.time", self.time, _LONGEST_PING)
        require_positive("KeepaliveSettings.timeout", self.timeout, _LONGEST_PING)


@dataclass(frozen=True)
class RetrySettings:
    """Retries of calls that only read and that failed with UNAVAILABLE.

    These are calls of the gateway's own methods `Get*`, `List*`, `QueryState` and `Config.*`. gRPC
    retries them, within the call's deadline (gRFC A6). The client never sends any other call again,
    because a call that failed may have been carried out already.
    """

    max_attempts: int = 3
    """Total number of attempts, 1 to 5; 1 switches retries off."""
    initial_backoff: float = 0.1
    """Seconds before the first retry; gRPC adds random jitter."""
    max_backoff: float = 2.0
    """Longest wait between two attempts, in seconds."""
    multiplier: float = 2.0
    """Factor by which the wait grows from retry to retry."""

    def __post_init__(self) -> None:
        # Five at most, because gRPC ignores a higher number in the service config.
        require_whole("RetrySettings.max_attempts", self.max_attempts, 1, 5)
        require_positive("RetrySettings.initial_backoff", self.initial_backoff)
        require_positive("RetrySettings.max_backoff", self.max_backoff)
        require_positive("RetrySettings.multiplier", self.multiplier, _LARGEST_MULTIPLIER)
        if self.initial_backoff < _SHORTEST_BACKOFF or self.max_backoff < _SHORTEST_BACKOFF:
            raise InvalidInputError("RetrySettings: the shortest backoff is a millisecond")


@dataclass(frozen=True)
class ReconnectSettings:
    """Delays between a subscription's attempts to reconnect, and the decision to reconnect."""

    initial_backoff: float = 1.0
    """Seconds before the first attempt."""
    max_backoff: float = 30.0
    """Longest wait between two attempts, in seconds."""
    multiplier: float = 2.0
    """Factor by which the wait grows from attempt to attempt."""
    # Random, because many clients of a gateway would reconnect at the same moment otherwise.
    jitter: float = 0.3
    """Random share of each wait, 0 to 1: with 0.3 a wait is 70 to 100 % of its nominal length."""
    stable_after: float = 10.0
    """Seconds that a stream must stay live before the waits start again at `initial_backoff`.

    After an event they start again at once.
    """
    should_reconnect: Callable[[VirtufinError | None], bool] | None = None
    """Function that decides by the error whether to reconnect; None means by the status code.

    The client calls the function when the stream has ended. The argument is the error, or None if
    the gateway ended the stream without an error. True means reconnect; False means that the
    subscription fails.
    """

    def __post_init__(self) -> None:
        require_positive("ReconnectSettings.initial_backoff", self.initial_backoff)
        require_positive("ReconnectSettings.max_backoff", self.max_backoff)
        require_positive("ReconnectSettings.multiplier", self.multiplier)
        require_positive("ReconnectSettings.stable_after", self.stable_after)
        if self.jitter != 0:
            require_positive("ReconnectSettings.jitter", self.jitter, 1.0)
        if self.should_reconnect is not None and not callable(self.should_reconnect):
            raise InvalidInputError("ReconnectSettings.should_reconnect must be a function")
        if inspect.iscoroutinefunction(self.should_reconnect):
            raise InvalidInputError(
                "ReconnectSettings.should_reconnect must be a plain function, as it is not awaited"
            )
        if self.multiplier < 1.0:
            raise InvalidInputError("ReconnectSettings.multiplier must be 1 or more")


@dataclass(frozen=True)
class SubscriptionSettings:
    """Limits and waiting times of subscriptions."""

    # Assumed, because some gateways send response headers only with the first event.
    ready_wait: float = 2.0
    """Seconds after which a stream is assumed to be live although the gateway has not answered."""
    # Limited, because gateways may drop an idle stream without ending it.
    idle_limit: float | None = 60.0
    """Seconds without an event after which the client opens a second stream to replace the first.

    None switches this off.
    """
    max_buffered_events: int = 1000
    """Limit of the events buffered for a slow consumer.

    A full buffer pauses the stream; no event is dropped.
    """
    max_buffered_bytes: int = 8 * 1024 * 1024
    """Limit of the bytes buffered for a slow consumer; the last event may exceed the limit."""
    reply_linger: float = 30.0
    """Seconds for which the stream of a reply topic stays open after the last request has ended."""

    def __post_init__(self) -> None:
        require_positive("SubscriptionSettings.ready_wait", self.ready_wait)
        if self.idle_limit is not None:
            require_positive("SubscriptionSettings.idle_limit", self.idle_limit)
        require_whole("SubscriptionSettings.max_buffered_events", self.max_buffered_events, 1)
        require_whole("SubscriptionSettings.max_buffered_bytes", self.max_buffered_bytes, 1, 2**62)
        require_positive("SubscriptionSettings.reply_linger", self.reply_linger)


@dataclass(frozen=True)
class ClientSettings:
    """All settings of a client, resolved and checked."""

    # Key and metadata are not in the `repr`, because they hold secrets.
    target: str
    api_key: ApiKey | None = field(repr=False)
    tls: TlsSettings | None
    timeout: float | None
    keepalive: KeepaliveSettings
    retry: RetrySettings
    reconnect: ReconnectSettings
    subscription: SubscriptionSettings
    max_message_bytes: int
    metadata: tuple[tuple[str, str | bytes], ...] = field(repr=False)
    interceptors: tuple[Any, ...]
    source: str
    memory: str | None = None
    """The emulator's name after `memory:` in the target; None for a gateway on the network."""
    wire: Literal["auto", "packaged"] = "auto"
    reflection_timeout: float = REFLECTION_TIMEOUT
    complete_replies: bool = True
    api_key_header: str = "x-api-key"
    """Metadata key of the API key."""
