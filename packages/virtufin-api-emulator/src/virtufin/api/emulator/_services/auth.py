"""Authentication of calls by API key.

Apart from the services, because the check comes before all of them.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable

import grpc
import grpc.aio

from virtufin.api.emulator._status_errors import Continuation, Handler, make_refusing_handler

HEADER = "x-api-key"
# Prefix of the methods that need no key.
_EXEMPT = "/grpc.health.v1.Health/"


class AuthInterceptor(grpc.aio.ServerInterceptor):
    """A gRPC interceptor that rejects calls without an accepted API key. Health checks need no key.

    Args:
        keys: The accepted keys.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = [key.encode() for key in keys]

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Returns the handler of the call, or one that rejects it with UNAUTHENTICATED.

        grpc calls this method for each call.
        """
        if handler_call_details.method.startswith(_EXEMPT) or self._admits(handler_call_details):
            return await continuation(handler_call_details)
        return make_refusing_handler(
            grpc.StatusCode.UNAUTHENTICATED, f"{HEADER} is missing or not a known key"
        )

    def _admits(self, details: grpc.HandlerCallDetails) -> bool:
        admitted = False
        for name, value in details.invocation_metadata or ():
            if name == HEADER:
                given = value.encode() if isinstance(value, str) else value
                # Every key is compared in constant time, because response times would otherwise
                # reveal a part of a key, or which key matched.
                for key in self._keys:
                    admitted |= hmac.compare_digest(key, given)
        return admitted
