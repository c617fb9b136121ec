"""gRPC statuses that answer calls whose handler has failed."""

from __future__ import annotations

from collections.abc import Callable

import grpc

from virtufin.api.client import errors
from virtufin.api.client._error_mapping import BY_CODE
from virtufin.api.client.errors import VirtufinError

# 1200, because the text is sent in a header. A byte takes up to three bytes there, and only 8 KiB
# of headers are safe: a caller that gets more may see RESOURCE_EXHAUSTED instead of this status.
_MOST = 1200
"""Largest length of a status text in bytes."""


class StatusError(Exception):
    """Raised to end a call with a gRPC status.

    Args:
        code: Code of the status.
        details: Text of the status. A text above 1200 bytes is truncated.
    """

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        # `replace`, because a text that UTF-8 cannot encode would leave the call without an answer.
        raw = details.encode(errors="replace")
        if len(raw) > _MOST:
            raw = raw[:_MOST] + b"..."
        self.code = code
        # `ignore`, because the cut may have left a part of a character.
        self.details = raw.decode(errors="ignore")
        super().__init__(self.details)


_CODES: dict[type[VirtufinError], grpc.StatusCode] = {
    # Added, because a handler raises this class for input that it refuses.
    errors.InvalidInputError: grpc.StatusCode.INVALID_ARGUMENT,
    # Reversed, because some classes have two codes, and the first one has the name of the class.
    **{kind: code for code, kind in reversed(BY_CODE.items())},
}


def to_status_error(error: BaseException, redact: Callable[[str], str]) -> StatusError:
    """Returns the `StatusError` that answers a call whose handler has failed.

    The class of a `VirtufinError` decides the code. Other errors have the code INTERNAL.

    Args:
        error: The error that the handler raised.
        redact: Function that removes secrets from the text of the error.
    """
    if not isinstance(error, VirtufinError):
        return StatusError(grpc.StatusCode.INTERNAL, redact(describe_error(error)))
    for kind, code in _CODES.items():
        if isinstance(error, kind):
            return StatusError(code, redact(str(error.message)))
    return StatusError(grpc.StatusCode.INTERNAL, redact(f"{type(error).__name__}: {error.message}"))


def describe_error(error: BaseException) -> str:
    """Returns the class name and the text of an error, or only the class name if `str` raises."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - because any error of `str` must not hide the error itself
        return type(error).__name__
