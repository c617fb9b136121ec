"""What replies have in common: the status that the gateway sends in-band."""

from __future__ import annotations

from typing import Any

from virtufin.api.client._error_mapping import from_refusal
from virtufin.api.client.results import StatusResult

from .transport import Transport


def accepted(reply: Any, transport: Transport, method: str, **context: Any) -> StatusResult:
    """The outcome of a call whose reply carries `status`; unset counts as success.

    Raises:
        VirtufinError: The gateway refused; also a ValueError.
    """
    if not reply.HasField("status"):
        return success()
    check(reply.status, transport, method, **context)
    status = reply.status
    return {"success": True, "status": status.status or "OK", "message": status.message}


def success(message: str = "") -> StatusResult:
    """Returns the status of a call that did what it was to do."""
    return {"success": True, "status": "OK", "message": message}


def check(status: Any, transport: Transport, method: str, **context: Any) -> None:
    """Raises where `success` is false.

    Args:
        status: Anything with `success`, `status` and `message`.
        transport: What the call went over; takes its secrets out of the message.
        method: Full name of the method, for the error.
        **context: Further things the error is to tell: service, key, topic, etag.
    """
    if not status.success:
        message = transport.secrets.redact(status.message)
        raise from_refusal(
            status.status,
            message or f"the gateway refused: {status.status or 'no reason given'}",
            method=method,
            peer=transport.peer,
            **context,
        )
