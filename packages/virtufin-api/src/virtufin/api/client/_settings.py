"""How a client connects and behaves: frozen, checked before anything is sent."""

from __future__ import annotations

import math
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from virtufin.api.client._sentinel import NotGiven
from virtufin.api.client.errors import InvalidInputError, VirtufinError

ApiKey = str | Callable[[], "str | Awaitable[str]"]
"""An API key, or a function (plain or async) that is asked for the current one at every call."""

HOST = "localhost"
GRPC_PORT = 5002
TIMEOUT = 30.0
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
SOURCE = "urn:com.virtufin.client"


@dataclass(frozen=True)
class TlsSettings:
    """Transport security; `tls=True` is `TlsSettings()`: gRPC's authorities, no certificate."""

    ca: bytes | str | Path | None = None
    """Authorities to trust instead of the system's: PEM bytes, or the path of a PEM file."""
    certificate: bytes | str | Path | None = None
    """The client's certificate chain for mutual TLS: PEM bytes, or a path. Needs `key`."""
    key: bytes | str | Path | None = field(default=None, repr=False)
    """The private key of `certificate`: PEM bytes, or a path."""
    server_name: str | None = None
    """Name to verify in the server's certificate where it differs from the host."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise InvalidInputError("TlsSettings needs certificate and key together, or neither")


@dataclass(frozen=True)
class KeepaliveSettings:
    """HTTP/2 pings that find connections whose other end is gone without a word."""

    time: float = 20.0
    """Seconds of silence on a connection before a ping."""
    timeout: float = 10.0
    """Seconds to wait for the answer before the connection counts as broken."""

    def __post_init__(self) -> None:
        positive("KeepaliveSettings.time", self.time)
        positive("KeepaliveSettings.timeout", self.timeout)


@dataclass(frozen=True)
class RetrySettings:
    """Retries of calls that only read (`Get*`, `List*`, `Query*`, Config) on UNAVAILABLE.

    Carried out inside gRPC within the call's deadline (gRFC A6); nothing else is ever retried,
    as the gateway itself may run a call twice.
    """

    max_attempts: int = 3
    """Attempts in all, 1 to 5; 1 switches retries off."""
    initial_backoff: float = 0.1
    """Seconds before the first retry; jittered by gRPC."""
    max_backoff: float = 2.0
    """Longest wait between two attempts, seconds."""
    multiplier: float = 2.0
    """Growth of the wait from retry to retry."""

    def __post_init__(self) -> None:
        if not isinstance(self.max_attempts, int) or not 1 <= self.max_attempts <= 5:
            raise InvalidInputError("RetrySettings.max_attempts must be a whole number from 1 to 5")
        positive("RetrySettings.initial_backoff", self.initial_backoff)
        positive("RetrySettings.max_backoff", self.max_backoff)
        positive("RetrySettings.multiplier", self.multiplier)


@dataclass(frozen=True)
class ReconnectSettings:
    """How a subscription comes back after an interruption."""

    initial_backoff: float = 1.0
    """Seconds before the first attempt."""
    max_backoff: float = 30.0
    """Longest wait between two attempts, seconds."""
    multiplier: float = 2.0
    """Growth of the wait from attempt to attempt."""
    jitter: float = 0.3
    """Part of each wait that is left to chance, 0 to 1."""
    stable_after: float = 10.0
    """Seconds a stream must have been live, or one event, for the waits to start over."""
    should_reconnect: Callable[[VirtufinError | None], bool] | None = None
    """Decides instead of the two sets of codes; gets the error, or None for a clean end."""

    def __post_init__(self) -> None:
        positive("ReconnectSettings.initial_backoff", self.initial_backoff)
        positive("ReconnectSettings.max_backoff", self.max_backoff)
        positive("ReconnectSettings.multiplier", self.multiplier)
        positive("ReconnectSettings.stable_after", self.stable_after)
        if not 0 <= self.jitter <= 1:
            raise InvalidInputError("ReconnectSettings.jitter must lie between 0 and 1")


@dataclass(frozen=True)
class SubscriptionSettings:
    """Bounds and waits of subscriptions."""

    ready_wait: float = 2.0
    """Seconds after which a stream without an answer of the gateway is presumed live."""
    max_buffered_events: int = 1000
    """Events held for a slow consumer; then the stream is paused, nothing is dropped."""
    max_buffered_bytes: int = 8 * 1024 * 1024
    """Bytes of events held for a slow consumer; one event more than that may be held."""
    reply_linger: float = 30.0
    """Seconds for which the stream of a reply topic outlives the last request."""

    def __post_init__(self) -> None:
        positive("SubscriptionSettings.ready_wait", self.ready_wait)
        positive("SubscriptionSettings.max_buffered_events", self.max_buffered_events)
        positive("SubscriptionSettings.max_buffered_bytes", self.max_buffered_bytes)
        positive("SubscriptionSettings.reply_linger", self.reply_linger)


@dataclass(frozen=True)
class ClientSettings:
    """All of a client's settings, resolved and checked."""

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
    """Name behind `memory:`, None for a gateway on the network."""
    api_key_header: str = "x-api-key"
    """Metadata key under which the API key travels."""


def positive(name: str, value: float) -> float:
    """Returns `value` where it is a finite number above zero.

    Raises:
        InvalidInputError: It is not.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value <= 0:
        raise InvalidInputError(f"{name} must be a number above zero, not {value!r}")
    return value


def timeout_or_none(value: float | None) -> float | None:
    """Returns a timeout in seconds as it can be used; None and infinity mean no deadline.

    Raises:
        InvalidInputError: It is not a number, negative, or NaN.
    """
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value >= 0:
        raise InvalidInputError(
            f"timeout must be a number of seconds or None (no deadline), not {value!r}"
        )
    return None if math.isinf(value) else float(value)


def resolve_target(host: str | NotGiven, grpc_port: int | NotGiven) -> str:
    """The gRPC target of an address, from arguments or environment.

    Raises:
        InvalidInputError: Host or port is of the wrong type or cannot be an address.
    """
    if isinstance(host, NotGiven):
        host = os.environ.get("VIRTUFIN_API_HOST") or HOST
    if not isinstance(host, str) or not host.strip() or any(c.isspace() for c in host):
        raise InvalidInputError(f"host must be a name, address or gRPC target, not {host!r}")
    if isinstance(grpc_port, NotGiven):
        grpc_port = _port_from_environment()
    elif not isinstance(grpc_port, int) or isinstance(grpc_port, bool):
        raise InvalidInputError(f"grpc_port must be a whole number, not {grpc_port!r}")
    if not 1 <= grpc_port <= 65535:
        raise InvalidInputError(f"grpc_port must lie between 1 and 65535, not {grpc_port}")
    scheme = host.split(":", 1)[0].lower()
    if scheme in _SCHEMES and ":" in host:
        return host
    if "://" in host:
        raise InvalidInputError(
            f"host {host!r} looks like a URL; give the name alone, and tls=True for TLS"
        )
    if host.endswith("]") or ":" not in host:
        return f"{host}:{grpc_port}"
    if host.count(":") == 1:
        raise InvalidInputError(
            f"host {host!r} holds a port; give it as grpc_port, or the host as a gRPC target "
            f"such as 'dns:///{host}'"
        )
    return f"[{host}]:{grpc_port}"


_SCHEMES = frozenset(
    {"dns", "ipv4", "ipv6", "unix", "unix-abstract", "passthrough", "vsock", "xds", "memory"}
)


def _port_from_environment() -> int:
    text = os.environ.get("VIRTUFIN_API_GRPC_PORT")
    if not text:
        return GRPC_PORT
    try:
        return int(text)
    except ValueError:
        raise InvalidInputError(
            f"environment variable VIRTUFIN_API_GRPC_PORT must be a port number, not {text!r}"
        ) from None


def resolve_tls(tls: bool | TlsSettings | NotGiven | None) -> TlsSettings | None:
    """The TLS settings, from the argument or VIRTUFIN_API_TLS (1, true, yes or on)."""
    if isinstance(tls, NotGiven):
        text = os.environ.get("VIRTUFIN_API_TLS", "").strip().lower()
        if text not in {"", "0", "1", "false", "true", "no", "yes", "off", "on"}:
            raise InvalidInputError(
                f"environment variable VIRTUFIN_API_TLS must be true or false, not {text!r}"
            )
        tls = text in {"1", "true", "yes", "on"}
    if isinstance(tls, TlsSettings):
        return tls
    if tls is None or isinstance(tls, bool):
        return TlsSettings() if tls else None
    raise InvalidInputError(f"tls must be True, False or TlsSettings, not {tls!r}")


def resolve_api_key(api_key: ApiKey | NotGiven | None) -> ApiKey | None:
    """The API key, from the argument or VIRTUFIN_API_KEY; its value never shows in an error."""
    if isinstance(api_key, NotGiven):
        api_key = os.environ.get("VIRTUFIN_API_KEY") or None
    if api_key is None or callable(api_key):
        return api_key
    return checked_api_key(api_key)


def checked_api_key(api_key: object, what: str = "api_key") -> str:
    """Returns an API key or token that can travel in a header; `what` names it in the error.

    Raises:
        InvalidInputError: It is no text, empty, or holds characters a header cannot.
    """
    if not isinstance(api_key, str):
        raise InvalidInputError(f"{what} must be text or a function, not {type(api_key).__name__}")
    printable = all(" " <= character <= "~" for character in api_key)
    if not api_key or not printable or api_key != api_key.strip():
        raise InvalidInputError(f"{what} must be printable ASCII, not empty, without outer spaces")
    return api_key


def resolve_metadata(
    metadata: Mapping[str, str | bytes] | None,
) -> tuple[tuple[str, str | bytes], ...]:
    """Headers to send with every call, checked by the rules of gRPC over HTTP/2."""
    pairs: list[tuple[str, str | bytes]] = []
    for key, value in (metadata or {}).items():
        if not isinstance(key, str) or not key or key != key.lower() or not key.isascii():
            raise InvalidInputError(f"metadata key {key!r} must be lower-case ASCII text")
        if key.startswith("grpc-") or key == "x-api-key":
            raise InvalidInputError(
                f"metadata key {key!r} is reserved" + (": use api_key=" if key[0] == "x" else "")
            )
        if isinstance(value, bytes) != key.endswith("-bin") or not isinstance(value, (str, bytes)):
            raise InvalidInputError(
                f"metadata {key!r} must be text, or bytes where the key ends in '-bin'"
            )
        pairs.append((key, value))
    return tuple(pairs)
