"""From what grpc raises to our errors, in words that say what to do, and without secrets."""

from __future__ import annotations

from typing import Any, Protocol

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


class Redacting(Protocol):
    """Takes secrets out of what people may read."""

    def redact(self, text: str) -> str:
        """The text without secrets."""

    def redact_value(self, value: str | bytes) -> str | bytes:
        """A metadata value without secrets."""


def from_rpc_error(error: aio.AioRpcError, redacting: Redacting, **context: Any) -> VirtufinError:
    """Translates the failure of a call; `redacting` takes secrets out of all texts."""
    code = error.code()
    details = redacting.redact(error.details() or "")
    trailing: Metadata = tuple(
        (key, redacting.redact_value(value)) for key, value in (error.trailing_metadata() or ())
    )
    hint = _HINTS.get(code)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
        hint = _TOO_LARGE
    message = details or code.name
    return from_status(
        code,
        f"{message} ({hint})" if hint else message,
        details=details,
        debug=redacting.redact(error.debug_error_string() or ""),
        trailing=trailing,
        **context,
    )


def unreachable(details: str, **context: Any) -> VirtufinError:
    """The error of a call that was not sent, as nobody answers."""
    code = grpc.StatusCode.UNAVAILABLE
    return from_status(code, f"{details} ({_HINTS[code]})", details=details, **context)


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
