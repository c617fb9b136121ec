"""What a sidecar's refusals mean, and what to do about them.

The answers are those of Dapr 1.18: a component it does not have is INVALID_ARGUMENT, a forbidden
topic PERMISSION_DENIED, an event or batch above its limit RESOURCE_EXHAUSTED, a broker that refuses
or is away INTERNAL.
"""

from __future__ import annotations

import grpc

from virtufin.api.client.errors import VirtufinError

_BY_CODE = {
    grpc.StatusCode.UNAVAILABLE: "is a Dapr sidecar running there, and is it its gRPC port?",
    grpc.StatusCode.UNAUTHENTICATED: "set api_token= or DAPR_API_TOKEN to the sidecar's token",
    grpc.StatusCode.PERMISSION_DENIED: (
        "the component's publishingScopes, allowedTopics and protectedTopics say which app may "
        "publish to which topic"
    ),
    grpc.StatusCode.UNIMPLEMENTED: "is that the gRPC port of a Dapr sidecar?",
    grpc.StatusCode.DEADLINE_EXCEEDED: (
        "the sidecar, or the broker behind it, does not answer; give more time with timeout= or "
        "deadline()"
    ),
}
_BY_TEXT = (
    (
        grpc.StatusCode.INVALID_ARGUMENT,
        "is not found",
        "pubsub_name= must be the metadata.name of a component that the sidecar has loaded",
    ),
    (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "larger than max",
        "send less, or raise the sidecar's --max-body-size, 4 MiB by default",
    ),
    (
        grpc.StatusCode.INTERNAL,
        "error when publishing",
        "the broker behind the sidecar refused it or is away",
    ),
)


def explained(error: VirtufinError) -> VirtufinError:
    """The error of a call, in words that are right for a sidecar."""
    if isinstance(error, grpc.RpcError):
        details = str(error.details() or error.status)
        hint = _hint(error.code(), details)
        error.message = f"{details} ({hint})" if hint else details
    return error


def _hint(code: grpc.StatusCode, details: str) -> str | None:
    for its_code, text, hint in _BY_TEXT:
        if code is its_code and text in details:
            return hint
    return _BY_CODE.get(code)
