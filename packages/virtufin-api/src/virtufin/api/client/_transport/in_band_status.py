"""The in-band status of replies: the fields `success`, `status` and `message`.

The gateway reports some failures in such fields, while the gRPC status of the call is OK.
"""

from __future__ import annotations

from typing import Any

from virtufin.api.client._error_mapping import from_refusal
from virtufin.api.client.results import StatusResult

from .transport import Transport


def read_status(reply: Any, transport: Transport, method: str, **context: Any) -> StatusResult:
    """Returns the status of a reply, or raises if the gateway rejected the call.

    Args:
        reply: A message with a field `status`.
        transport: The connection that carried the call.
        method: Full name of the method, to set on the error.
        **context: Further attributes to set on the error: service, key, topic, etag.

    Raises:
        VirtufinError: The gateway rejected the call. The error is also a ValueError.
    """
    # Checked first, because an unset status counts as success although its `success` is false.
    if not reply.HasField("status"):
        return success()
    check(reply.status, transport, method, **context)
    status = reply.status
    return {"success": True, "status": status.status or "OK", "message": status.message}


def success(message: str = "") -> StatusResult:
    """Returns the status of a successful call."""
    return {"success": True, "status": "OK", "message": message}


def check(status: Any, transport: Transport, method: str, **context: Any) -> None:
    """Raises an error if the `success` of a status is false.

    Args:
        status: Any object with `success`, `status` and `message`.
        transport: The connection that carried the call. Its secrets are redacted from the message.
        method: Full name of the method, to set on the error.
        **context: Further attributes to set on the error: service, key, topic, etag.

    Raises:
        VirtufinError: `success` is false. The error is also a ValueError.
    """
    if not status.success:
        # Redacted, because a gateway may repeat the API key in its message.
        message = transport.credentials.redact(status.message)
        raise from_refusal(
            status.status,
            message or f"the gateway refused: {status.status or 'no reason given'}",
            method=method,
            peer=transport.peer,
            **context,
        )
