"""The address and token of the Dapr sidecar, and the transport for calls to it."""

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
from virtufin.api.client._validation import LARGEST, require_api_key, require_timeout
from virtufin.api.client.errors import InvalidInputError

# These two are the defaults of Dapr's own SDKs.
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
    name="BulkPublishEventAlpha1",  # because every sidecar from Dapr 1.16 to 1.18 has this name
    request=api_v1.BulkPublishRequest,
    response=api_v1.BulkPublishResponse,
)

# Three hours, because servers written in Go close a connection whose idle pings come more often
# than every two hours, and a sidecar on the same machine does not need pings.
_KEEPALIVE = KeepaliveSettings(time=3 * 60 * 60.0)
# The largest value, because the sidecar has its own limit and reports it.
_MAX_MESSAGE_BYTES = LARGEST


def address_from_environment() -> str:
    """Returns the sidecar's address from Dapr's environment variables.

    The address is DAPR_GRPC_ENDPOINT, or else DAPR_RUNTIME_HOST (if not set, 127.0.0.1) with
    DAPR_GRPC_PORT (if not set, 50001).
    """
    if address := os.environ.get("DAPR_GRPC_ENDPOINT"):
        return address
    host = os.environ.get("DAPR_RUNTIME_HOST") or HOST
    # Brackets for an IPv6 address, because its last group would otherwise be read as the port.
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"{host}:{os.environ.get('DAPR_GRPC_PORT') or GRPC_PORT}"


@dataclass(frozen=True)
class Endpoint:
    """The address of a sidecar and the token for calls to it."""

    target: str
    """The gRPC target, such as `dns:127.0.0.1:50001`."""
    tls: bool
    """True if the connection is encrypted with TLS."""
    # Not in the repr, because tokens must not appear in logs.
    token: str | None = field(repr=False)
    """Token that calls carry as `dapr-api-token`; None for calls without a token."""


def resolve_endpoint(address: str | None, api_token: str | NotGiven | None) -> Endpoint:
    """Returns the endpoint of the sidecar from arguments, or else from environment variables.

    Args:
        address: Address of the sidecar. None means the address of `address_from_environment`.
        api_token: Token of the sidecar. `NOT_GIVEN` means DAPR_API_TOKEN, if that is set and not
            empty; None means calls without a token.

    Raises:
        InvalidInputError: The address is invalid, or a header cannot hold the token.
    """
    found = _parse_address(address_from_environment() if address is None else address)
    token = resolve_token(api_token, "DAPR_API_TOKEN", "api_token")
    return Endpoint(_format_target(found), found.tls, token)


def resolve_token(given: str | NotGiven | None, variable: str, what: str) -> str | None:
    """Returns the token from an argument, or else from an environment variable.

    Args:
        given: The argument. `NOT_GIVEN` means the environment variable, if that is set and not
            empty; None means no token.
        variable: Name of the environment variable.
        what: Name of the token in error texts.

    Returns:
        The token, or None for calls without a token.

    Raises:
        InvalidInputError: A header cannot hold the token.
    """
    # NOT_GIVEN is a value of its own, because None turns the token off. An empty variable counts
    # as a variable that is not set.
    if isinstance(given, NotGiven):
        given = os.environ.get(variable) or None
    return None if given is None else require_api_key(given, what)


def make_transport(
    address: str | None, api_token: str | NotGiven | None, timeout: float | None, source: str
) -> Transport:
    """Returns a new transport for calls to a sidecar; the caller must close the transport.

    The first call opens the connection.

    Args:
        address: Address of the sidecar. None means the address of `address_from_environment`.
        api_token: Token of the sidecar. `NOT_GIVEN` means DAPR_API_TOKEN, if that is set and not
            empty; None means calls without a token.
        timeout: Default deadline of a call in seconds. None means no deadline.
        source: Source of events that name no source.

    Raises:
        InvalidInputError: The address is invalid, or a header cannot hold the token.
    """
    sidecar = resolve_endpoint(address, api_token)
    settings = ClientSettings(
        target=sidecar.target,
        api_key=sidecar.token,
        api_key_header=TOKEN_HEADER,
        tls=TlsSettings() if sidecar.tls else None,
        timeout=require_timeout(timeout),
        keepalive=_KEEPALIVE,
        # One attempt, because only calls that read are retried, and these calls publish.
        retry=RetrySettings(max_attempts=1),
        reconnect=ReconnectSettings(),
        subscription=SubscriptionSettings(),
        max_message_bytes=_MAX_MESSAGE_BYTES,
        metadata=(),
        interceptors=(),
        source=source,
    )
    return Transport(settings)


def _format_target(found: Any) -> str:
    if ":" in found.hostname and not found.hostname.startswith("[") and found.scheme == "dns":
        # Added here, because Dapr's parser removes the brackets and restores them only for IPv6
        # addresses with eight groups.
        return f"dns:[{found.hostname}]:{found.port}"
    return str(found.endpoint)


def _parse_address(address: str) -> Any:
    if not isinstance(address, str) or not address.strip():
        raise InvalidInputError(f"the sidecar's address must be text, not {address!r}")
    try:
        return GrpcEndpoint(address)
    except ValueError as error:
        raise InvalidInputError(f"the sidecar's address {address!r} is none: {error}") from None
