"""Errors and handlers that end a call with a gRPC status.

Apart, because the wings of backends, faults, calls and services all raise these errors.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc

# In quotes, because grpc's class is not generic at run time.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]"
"""The next step of a call after an interceptor."""


class StatusError(Exception):
    """Raised to end the current call with a gRPC status.

    Args:
        code: Code of the status.
        details: Text of the status.
    """

    def __init__(self, code: grpc.StatusCode, details: str = "") -> None:
        super().__init__(f"{code.name}: {details}")
        self.code = code
        self.details = details


class InvalidArgumentError(StatusError):
    """Raised to end the current call with the status INVALID_ARGUMENT.

    Args:
        details: Text of the status.
    """

    def __init__(self, details: str) -> None:
        super().__init__(grpc.StatusCode.INVALID_ARGUMENT, details)


def make_refusing_handler(code: grpc.StatusCode, details: str) -> Handler:
    """Returns a handler that ends each call with a status, without reading its request.

    The handler serves unary calls and streams.
    """
    # Stream to stream, because such a handler also serves unary calls.

    async def refuse(requests: AsyncIterator[bytes], context: Any) -> None:
        await context.abort(code, details)

    return grpc.stream_stream_rpc_method_handler(refuse)
