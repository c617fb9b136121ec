"""The gRPC status that says what the failure of a handler means.

Apart from dispatch, as both servers raise and read it.
"""

from __future__ import annotations

from collections.abc import Callable

import grpc

from virtufin.api.client import errors
from virtufin.api.client._error_mapping import BY_CODE
from virtufin.api.client.errors import VirtufinError

_MOST = 1200
"""Bytes of text. It travels in a header, each byte as up to three, and 8 KiB of headers are safe:
a caller that gets more may be told RESOURCE_EXHAUSTED instead of what was meant."""


class RefusedError(Exception):
    """A call that is answered by a status; what is too long of its text is cut off."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        raw = details.encode(errors="replace")
        if len(raw) > _MOST:
            raw = raw[:_MOST] + b"..."
        self.code = code
        self.details = raw.decode(errors="ignore")
        super().__init__(self.details)


_CODES: dict[type[VirtufinError], grpc.StatusCode] = {
    # What the handler itself refuses; the first code of a class is the one that has its name.
    errors.InvalidInputError: grpc.StatusCode.INVALID_ARGUMENT,
    **{kind: code for code, kind in reversed(BY_CODE.items())},
}


def refused(error: BaseException, redact: Callable[[str], str]) -> RefusedError:
    """What the caller is answered; `redact` takes secrets out of the error's text."""
    if not isinstance(error, VirtufinError):
        return RefusedError(grpc.StatusCode.INTERNAL, redact(described(error)))
    for kind, code in _CODES.items():
        if isinstance(error, kind):
            return RefusedError(code, redact(str(error.message)))
    return RefusedError(
        grpc.StatusCode.INTERNAL, redact(f"{type(error).__name__}: {error.message}")
    )


def described(error: BaseException) -> str:
    """Class and text of an error, also of one whose text cannot be had."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - whatever it is, the error is only to be named
        return type(error).__name__
