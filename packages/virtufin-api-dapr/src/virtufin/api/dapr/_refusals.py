"""The gRPC status that says what the failure of a handler means."""

from __future__ import annotations

import grpc

from virtufin.api.client import errors
from virtufin.api.client._failures import BY_CODE
from virtufin.api.client.errors import VirtufinError


class RefusedError(Exception):
    """A call that is answered by a status."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details


_CODES: dict[type[VirtufinError], grpc.StatusCode] = {
    # What the handler itself refuses; the first code of a class is the one that has its name.
    errors.InvalidInputError: grpc.StatusCode.INVALID_ARGUMENT,
    **{kind: code for code, kind in reversed(BY_CODE.items())},
}


def refused(error: BaseException) -> RefusedError:
    """What the caller is answered."""
    if not isinstance(error, VirtufinError):
        return RefusedError(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
    for kind, code in _CODES.items():
        if isinstance(error, kind):
            return RefusedError(code, error.message)
    return RefusedError(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error.message}")
