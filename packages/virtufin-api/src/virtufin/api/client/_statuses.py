"""From what grpc raises to our errors, in words that say what to do, and without secrets."""

from __future__ import annotations

from typing import Any

import grpc
from grpc import aio

from virtufin.api.client._deadline import Budget
from virtufin.api.client._failures import Metadata, from_status
from virtufin.api.client.errors import CallCancelledError, VirtufinError

_HINTS = {
    grpc.StatusCode.UNAVAILABLE: "is a gateway running there, and is it the native gRPC port?",
    grpc.StatusCode.UNAUTHENTICATED: "set api_key= or VIRTUFIN_API_KEY to a key the gateway knows",
    grpc.StatusCode.PERMISSION_DENIED: "this API key does not allow it",
    grpc.StatusCode.UNIMPLEMENTED: "the gateway does not have this call; it may be older or newer",
    grpc.StatusCode.DEADLINE_EXCEEDED: "give more time with timeout= or deadline()",
}
_TOO_LARGE = "raise max_message_bytes= here, and the gateway's own limit, or send less"
_REDACTED = "***"


def from_rpc_error(error: aio.AioRpcError, secret: str | None, **context: Any) -> VirtufinError:
    """Translates the failure of a call; `secret` (the API key sent) is taken out of all texts."""
    code = error.code()
    details = redact(error.details() or "", secret)
    trailing: Metadata = tuple(
        (key, redact(value, secret) if isinstance(value, str) else value)
        for key, value in (error.trailing_metadata() or ())
    )
    hint = _HINTS.get(code)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
        hint = _TOO_LARGE
    message = details or code.name
    return from_status(
        code,
        f"{message} ({hint})" if hint else message,
        details=details,
        debug=redact(error.debug_error_string() or "", secret),
        trailing=trailing,
        **context,
    )


def redact(text: str, secret: str | None) -> str:
    """The text without the secret."""
    return text.replace(secret, _REDACTED) if secret else text


def expired(budget: Budget, **context: Any) -> VirtufinError:
    """The error of a call whose time was up before it was sent."""
    total = budget.total or 0.0
    return from_status(
        grpc.StatusCode.DEADLINE_EXCEEDED,
        f"nothing was left of the deadline ({total:.3g} s) when the call was to be sent",
        details="deadline exceeded before the call was sent",
        **context,
    )


def cancelled_elsewhere(context: dict[str, Any]) -> VirtufinError:
    """The error of a call that neither its task nor this client cancelled."""
    return from_status(
        grpc.StatusCode.CANCELLED,
        "the call was cancelled by the owner of the channel",
        details="cancelled by the owner of the channel",
        kind=CallCancelledError,
        **context,
    )
