"""Where the Dapr sidecar is and how calls reach it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from dapr.conf.helpers import GrpcEndpoint
from dapr.proto import api_v1
from google.protobuf.empty_pb2 import Empty

from virtufin.api.client._settings import (
    ClientSettings,
    KeepaliveSettings,
    ReconnectSettings,
    RetrySettings,
    SubscriptionSettings,
    TlsSettings,
)
from virtufin.api.client._transport import Method, Transport
from virtufin.api.client._types import NotGiven
from virtufin.api.client._validation import require_api_key, require_timeout
from virtufin.api.client.errors import InvalidInputError

HOST = "127.0.0.1"
GRPC_PORT = "50001"
TOKEN_HEADER = "dapr-api-token"
PUBLISH_EVENT = Method(
    service="dapr.proto.runtime.v1.Dapr",
    name="PublishEvent",
    request=api_v1.PublishEventRequest,
    response=Empty,
)

BULK_PUBLISH = Method(
    service="dapr.proto.runtime.v1.Dapr",
    name="BulkPublishEventAlpha1",  # the name that every sidecar from Dapr 1.16 to 1.18 has
    request=api_v1.BulkPublishRequest,
    response=api_v1.BulkPublishResponse,
)

# A sidecar shares the machine, so nothing is gained by pings, and servers written in Go close a
# connection whose idle pings come more often than every two hours.
_KEEPALIVE = KeepaliveSettings(time=3 * 60 * 60.0)
# The sidecar knows its own limit and says so.
_MAX_MESSAGE_BYTES = 2**31 - 1


def address_from_environment() -> str:
    """The sidecar's address as Dapr's own environment variables give it."""
    if endpoint := os.environ.get("DAPR_GRPC_ENDPOINT"):
        return endpoint
    host = os.environ.get("DAPR_RUNTIME_HOST") or HOST
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"{host}:{os.environ.get('DAPR_GRPC_PORT') or GRPC_PORT}"


@dataclass(frozen=True)
class Endpoint:
    """Where a sidecar is and what it demands."""

    target: str
    """gRPC target."""
    tls: bool
    """Whether the connection is encrypted."""
    token: str | None = field(repr=False)
    """What calls carry as `dapr-api-token`."""


def endpoint(address: str | None, api_token: str | NotGiven | None) -> Endpoint:
    """The endpoint for these arguments, with Dapr's environment variables behind them.

    Raises:
        InvalidInputError: The address cannot be one, or the token cannot travel in a header.
    """
    found = _parsed(address_from_environment() if address is None else address)
    token = resolved_token(api_token, "DAPR_API_TOKEN", "api_token")
    return Endpoint(_target(found), found.tls, token)


def resolved_token(given: str | NotGiven | None, variable: str, what: str) -> str | None:
    """The token that was given, else that of an environment variable; `what` names it in errors.

    Raises:
        InvalidInputError: It cannot travel in a header.
    """
    if isinstance(given, NotGiven):
        given = os.environ.get(variable) or None
    return None if given is None else require_api_key(given, what)


def transport(
    address: str | None, api_token: str | NotGiven | None, timeout: float | None, source: str
) -> Transport:
    """The connection to a sidecar; opened by the first call.

    Raises:
        InvalidInputError: The address cannot be one, or the token cannot travel in a header.
    """
    where = endpoint(address, api_token)
    settings = ClientSettings(
        target=where.target,
        api_key=where.token,
        api_key_header=TOKEN_HEADER,
        tls=TlsSettings() if where.tls else None,
        timeout=require_timeout(timeout),
        keepalive=_KEEPALIVE,
        retry=RetrySettings(max_attempts=1),
        reconnect=ReconnectSettings(),
        subscription=SubscriptionSettings(),
        max_message_bytes=_MAX_MESSAGE_BYTES,
        metadata=(),
        interceptors=(),
        source=source,
    )
    return Transport(settings)


def _target(found: Any) -> str:
    if ":" in found.hostname and not found.hostname.startswith("[") and found.scheme == "dns":
        # Dapr's parser gives only IPv6 addresses with eight groups their brackets back.
        return f"dns:[{found.hostname}]:{found.port}"
    return str(found.endpoint)


def _parsed(address: str) -> Any:
    if not isinstance(address, str) or not address.strip():
        raise InvalidInputError(f"the sidecar's address must be text, not {address!r}")
    try:
        return GrpcEndpoint(address)
    except ValueError as error:
        raise InvalidInputError(f"the sidecar's address {address!r} is none: {error}") from None
