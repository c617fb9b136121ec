"""The options of a gRPC channel: channel arguments, service config, TLS credentials."""

from __future__ import annotations

import json
import os
from typing import Any

import grpc

from virtufin.api.client._protobuf import V1, V1ALPHA
from virtufin.api.client._settings import MAX_MESSAGE_BYTES, ClientSettings, TlsSettings
from virtufin.api.client._version import __version__
from virtufin.api.client.errors import InvalidInputError

# Two seconds, because with gRPC's default a channel was usable again only 16 s after a server came
# back from 50 s of absence; with this value, after 1.8 s.
_MAX_RECONNECT_BACKOFF_MS = 2000


# This prefix distinguishes PEM text from a path, because both are passed as `str`.
_PEM = "-----BEGIN "


# Only methods that read, because a retried write could be carried out twice.
_IDEMPOTENT = {
    "virtufin.Gateway": ("ListServices", "ListMethods", "GetMethodSchema"),
    "virtufin.State": ("GetState", "GetBulkState", "QueryState", "GetAllState"),
    "virtufin.Config": ("ListServices", "GetService"),
}


def channel_options(settings: ClientSettings) -> list[tuple[str, Any]]:
    """Returns the channel arguments for these settings."""
    keepalive_time = int(settings.keepalive.time * 1000)
    keepalive_timeout = int(settings.keepalive.timeout * 1000)
    options: list[tuple[str, Any]] = [
        # All four, because only together they find a half-open connection: without ping_timeout
        # that takes a minute, without max_pings_without_data an idle stream is never probed.
        ("grpc.keepalive_time_ms", keepalive_time),
        ("grpc.keepalive_timeout_ms", keepalive_timeout),
        ("grpc.http2.ping_timeout_ms", keepalive_timeout),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_reconnect_backoff_ms", _MAX_RECONNECT_BACKOFF_MS),
        # At least the default, because a lower setting must not limit reflection. The service
        # config holds the lower limit, for all methods but those of reflection.
        ("grpc.max_receive_message_length", max(settings.max_message_bytes, MAX_MESSAGE_BYTES)),
        # No limit in gRPC, because the transport checks the size before sending and raises an error
        # that states the remedy.
        ("grpc.max_send_message_length", -1),
        # Local, because channels with equal arguments would share one connection otherwise.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.primary_user_agent", f"virtufin-api-python/{__version__}"),
        ("grpc.service_config", json.dumps(_service_config(settings))),
    ]
    if settings.tls is not None and settings.tls.server_name:
        options.append(("grpc.ssl_target_name_override", settings.tls.server_name))
    return options


def _service_config(settings: ClientSettings) -> dict[str, Any]:
    config: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
    limit = {"maxResponseMessageBytes": settings.max_message_bytes}
    reflection: dict[str, Any] = {"name": [{"service": service} for service in (V1, V1ALPHA)]}
    methods: list[dict[str, Any]] = [{"name": [{}], **limit}, reflection]
    retry = settings.retry
    if retry.max_attempts > 1:
        names = [
            {"service": service, "method": method}
            for service, reading in _IDEMPOTENT.items()
            for method in reading
        ]
        policy = {
            "maxAttempts": retry.max_attempts,
            "initialBackoff": f"{retry.initial_backoff}s",
            "maxBackoff": f"{retry.max_backoff}s",
            "backoffMultiplier": retry.multiplier,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
        methods.append({"name": names, "retryPolicy": policy, **limit})
        # Reflection is retried too, because the message layout is looked up before the first call
        # and after a break: a call that gRPC would retry must not fail in that lookup.
        reflection["retryPolicy"] = policy
        config["retryThrottling"] = {"maxTokens": 10, "tokenRatio": 0.1}
    config["methodConfig"] = methods
    return config


def retried_methods(settings: ClientSettings) -> frozenset[str]:
    """Returns the full names of the methods that gRPC itself may retry, without reporting it."""
    if settings.retry.max_attempts == 1:
        return frozenset()
    return frozenset(
        f"{service}/{name}" for service in _IDEMPOTENT for name in _IDEMPOTENT[service]
    )


def read_credentials(tls: TlsSettings) -> grpc.ChannelCredentials:
    """Returns the TLS credentials of a channel. Reads files, so call this function in a thread.

    Raises:
        InvalidInputError: A file cannot be read, or a setting holds no PEM.
    """
    return grpc.ssl_channel_credentials(
        root_certificates=_pem("ca", tls.ca),
        private_key=_pem("key", tls.key),
        certificate_chain=_pem("certificate", tls.certificate),
    )


def _pem(name: str, source: bytes | str | os.PathLike[str] | None) -> bytes | None:
    if source is None:
        return None
    where = f"TlsSettings.{name}"
    if isinstance(source, str) and _PEM in source:
        source = source.encode()
    if not isinstance(source, bytes):
        # A key is not shown, because a malformed private key would be taken for a path.
        where += "" if name == "key" else f", file {source}"
        source = _read(where, source)
    # Checked here, because gRPC only logs invalid PEM, and some versions then never connect.
    if _PEM.encode() not in source:
        raise InvalidInputError(f"{where}: holds no PEM block ({_PEM}...)")
    return source


def _read(where: str, path: str | os.PathLike[str]) -> bytes:
    # Imported here, because only clients with TLS files need it.
    from pathlib import Path

    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no path"
    # Raised outside the except block, because the OSError would be its `__context__` and show the
    # path, which may be a malformed key.
    raise InvalidInputError(f"{where}: cannot be read: {reason}")
