"""Hints for the errors of a sidecar: the probable cause and what to do.

The hints match the statuses of Dapr 1.18:

- INVALID_ARGUMENT: the sidecar does not have the component.
- PERMISSION_DENIED: the app may not publish to the topic.
- RESOURCE_EXHAUSTED: the event or batch is above the sidecar's limit.
- INTERNAL: the broker rejects the event or is not available.
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
# With a part of the text, because the sidecar uses these codes for other failures too.
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


def add_hint(error: VirtufinError) -> VirtufinError:
    """Replaces the message of an error by the sidecar's text with a hint, and returns the error.

    Args:
        error: The error of a call to the sidecar. An error that is no `grpc.RpcError` is returned
            unchanged, because the sidecar did not send that error.
    """
    if isinstance(error, grpc.RpcError):
        # From `details` and not from the message, because the message has a hint for a gateway.
        details = str(error.details() or error.status)
        hint = _find_hint(error.code(), details)
        # Changed in place, because the error must keep its class and its gRPC accessors.
        error.message = f"{details} ({hint})" if hint else details
    return error


def _find_hint(code: grpc.StatusCode, details: str) -> str | None:
    for its_code, text, hint in _BY_TEXT:
        if code is its_code and text in details:
            return hint
    return _BY_CODE.get(code)
