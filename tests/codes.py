"""The status codes by what a subscription does after them, as the documentation promises."""

import grpc

FATAL = frozenset(
    getattr(grpc.StatusCode, name)
    for name in (
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "UNAUTHENTICATED",
        "FAILED_PRECONDITION",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
    )
)
"""Codes that end a subscription, because another attempt would fail in the same way."""
TRANSIENT = frozenset(grpc.StatusCode) - FATAL - {grpc.StatusCode.OK}
"""Codes after which a subscription reconnects."""
