"""What replies have in common: the status that the gateway sends in-band."""

from __future__ import annotations

from typing import Any

from virtufin.api.client._failures import from_refusal
from virtufin.api.client.results import StatusResult


def accepted(reply: Any, **context: Any) -> StatusResult:
    """The outcome of a call whose reply carries `status`; unset counts as success.

    Raises:
        VirtufinError: The gateway refused; also a ValueError.
    """
    if not reply.HasField("status"):
        return {"success": True, "status": "OK", "message": ""}
    check(reply.status, **context)
    status = reply.status
    return {"success": True, "status": status.status or "OK", "message": status.message}


def check(status: Any, **context: Any) -> None:
    """Raises where `success` is false."""
    if not status.success:
        message = status.message or f"the gateway refused: {status.status or 'no reason given'}"
        raise from_refusal(status.status, message, **context)
