"""How a servicer says that a call ends with a gRPC status."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]"
"""What an interceptor hands on to."""


class RefusedError(Exception):
    """Ends the call it is raised in with a gRPC status."""

    def __init__(self, code: grpc.StatusCode, details: str = "") -> None:
        super().__init__(f"{code.name}: {details}")
        self.code = code
        self.details = details


def invalid(details: str) -> RefusedError:
    """INVALID_ARGUMENT with a text."""
    return RefusedError(grpc.StatusCode.INVALID_ARGUMENT, details)


def refusing_handler(code: grpc.StatusCode, details: str) -> Handler:
    """A handler that ends any call of any kind at once, before reading its request."""

    async def refuse(requests: AsyncIterator[bytes], context: Any) -> None:
        await context.abort(code, details)

    return grpc.stream_stream_rpc_method_handler(refuse)
