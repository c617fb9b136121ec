"""What this SDK raises: one root, one class per meaning.

```
VirtufinError
├── InvalidInputError (ValueError)     refused here, before anything was sent
├── InvalidReplyError (ValueError)     a reply or event that cannot be decoded
├── InvalidRequestError                the gateway or backend refused the request
├── UnauthenticatedError               API key missing or wrong
│   └── ApiKeyError                    the function that gives the key failed
├── PermissionDeniedError
├── NotFoundError
├── AlreadyExistsError
├── FailedPreconditionError
├── AbortedError
│   └── ConflictError                  another etag than the current one
├── ResourceExhaustedError             quota, store full, message too large
├── UnsupportedError                   the gateway or backend does not have this call
├── UnavailableError                   nobody answers
├── DeadlineExceededError (TimeoutError)
├── CallCancelledError                 cancelled by the server or by the channel's owner
├── InternalError
├── UnknownError
├── DataLossError
├── ClientClosedError (RuntimeError)
├── WrongLoopError (RuntimeError)
├── RequestFailedError                 the responder told that it failed
├── StreamInterruptedError             the subscription will reconnect
└── StreamFailedError                  the subscription has ended for good
```

What came as a gRPC status is also a `grpc.RpcError` with `code()`, `details()` and
`trailing_metadata()`; what the gateway refused in-band (`success=false`) is also a `ValueError`; a
stream error is also of the class of its cause. So one `except` by meaning catches them all, and
code that catches `grpc.RpcError`, `ValueError` or `TimeoutError` keeps working.

Example:
    >>> import grpc
    >>> from virtufin.api.client import NotFoundError
    >>> async def read(client):
    ...     try:
    ...         return await client.invoke_async("workmanager", "GetTags", {"id": "unknown"})
    ...     except NotFoundError as error:
    ...         return f"{error.service}: {error.status}"
"""

from __future__ import annotations

import asyncio
import sys

__all__ = [
    "AbortedError",
    "AlreadyExistsError",
    "ApiKeyError",
    "CallCancelledError",
    "ClientClosedError",
    "ConflictError",
    "DataLossError",
    "DeadlineExceededError",
    "FailedPreconditionError",
    "InternalError",
    "InvalidInputError",
    "InvalidReplyError",
    "InvalidRequestError",
    "NotFoundError",
    "PermissionDeniedError",
    "RequestFailedError",
    "ResourceExhaustedError",
    "StreamFailedError",
    "StreamInterruptedError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnknownError",
    "UnsupportedError",
    "VirtufinError",
    "WrongLoopError",
]


class VirtufinError(Exception):
    """Root of everything this SDK raises on purpose.

    Attributes:
        peer: Address that was tried, such as `localhost:5002`.
        method: Full name of the RPC, such as `virtufin.State/GetState`.
        service: Backend service the call was about.
        key: State key the call was about.
        topic: Topic the call was about.
        etag: Etag that was sent.
        status: Name of the gRPC status code, or the gateway's in-band status.
        attempt: Number of the attempt that failed, from 1.
        unknown: Where a refused request names what is not there: path of a field, such as
            `code_source.urll`, or name of a method or service; empty where that is not known.
        nearest: Names that may have been meant by the first of `unknown`.
    """

    unknown: tuple[str, ...] = ()
    nearest: tuple[str, ...] = ()

    def __init__(
        self,
        message: str = "",
        *,
        peer: str | None = None,
        method: str | None = None,
        service: str | None = None,
        key: str | None = None,
        topic: str | None = None,
        etag: str | None = None,
        status: str | None = None,
        attempt: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.peer = peer
        self.method = method
        self.service = service
        self.key = key
        self.topic = topic
        self.etag = etag
        self.status = status
        self.attempt = attempt

    def __str__(self) -> str:
        parts = [f"{self.method or 'call'} at {self.peer}" if self.peer else self.method]
        for name in ("status", "service", "key", "topic", "etag", "attempt"):
            value = getattr(self, name)
            if value is not None:
                parts.append(f"{name} {value if name in ('status', 'attempt') else repr(value)}")
        context = ", ".join(part for part in parts if part)
        return f"{self.message} [{context}]" if context else self.message


class InvalidInputError(VirtufinError, ValueError):
    """An argument was refused before anything was sent: wrong type, illegal name, empty topic."""


class InvalidReplyError(VirtufinError, ValueError):
    """A reply or the data of an event cannot be decoded: not JSON, not UTF-8, not the message."""


class InvalidRequestError(VirtufinError):
    """The gateway or the backend refused the request (INVALID_ARGUMENT, OUT_OF_RANGE)."""


class UnauthenticatedError(VirtufinError):
    """The API key is missing or wrong (UNAUTHENTICATED)."""


class ApiKeyError(UnauthenticatedError):
    """The `api_key` function raised; its error is the `__cause__`. Subscriptions try again."""


class PermissionDeniedError(VirtufinError):
    """The API key does not allow this call (PERMISSION_DENIED)."""


class NotFoundError(VirtufinError):
    """The service, method or object does not exist (NOT_FOUND)."""


class AlreadyExistsError(VirtufinError):
    """What was to be created exists (ALREADY_EXISTS)."""


class FailedPreconditionError(VirtufinError):
    """The system is not in the state that the call needs (FAILED_PRECONDITION)."""


class AbortedError(VirtufinError):
    """The call lost against a concurrent one (ABORTED)."""


class ConflictError(AbortedError):
    """Someone else wrote the key since its etag was read; read again and decide.

    `service`, `key` and `etag` (the one that was sent) are set. `StateClient.update` does the
    reading again.
    """


class ResourceExhaustedError(VirtufinError):
    """A quota, the store or the message size limit is used up (RESOURCE_EXHAUSTED)."""


class UnsupportedError(VirtufinError):
    """The gateway or backend does not have this call (UNIMPLEMENTED)."""


class UnavailableError(VirtufinError):
    """Nobody answers at that address, or the backend is away (UNAVAILABLE)."""


if sys.version_info >= (3, 11):

    class DeadlineExceededError(VirtufinError, TimeoutError):
        """The call did not finish within its timeout (DEADLINE_EXCEEDED)."""

else:

    class DeadlineExceededError(VirtufinError, TimeoutError, asyncio.TimeoutError):
        """The call did not finish within its timeout (DEADLINE_EXCEEDED)."""


class CallCancelledError(VirtufinError):
    """The call was cancelled by the server or by the channel's owner, not by the calling task."""


class InternalError(VirtufinError):
    """The gateway or backend broke (INTERNAL)."""


class UnknownError(VirtufinError):
    """The gateway or backend failed without saying how (UNKNOWN)."""


class DataLossError(VirtufinError):
    """Unrecoverable loss or corruption of data (DATA_LOSS)."""


class ClientClosedError(VirtufinError, RuntimeError):
    """The client was closed; make a new one."""


class WrongLoopError(VirtufinError, RuntimeError):
    """The client belongs to another event loop; make one client per loop."""


class RequestFailedError(VirtufinError):
    """The responder to a request told that it failed; also of the class of the status it told."""


class StreamInterruptedError(VirtufinError):
    """A subscription lost its stream and will reconnect; events published meanwhile may be missing.

    Attributes:
        retry_in: Seconds until the next attempt.
    """

    retry_in: float = 0.0


class StreamFailedError(VirtufinError):
    """A subscription has ended for good: the gateway's answer will not change by trying again."""
