"""The errors of this SDK: one root, one class per meaning.

```
VirtufinError
├── InvalidInputError (ValueError)     an argument is invalid; nothing was sent
├── InvalidReplyError (ValueError)     a reply or event that cannot be decoded
├── InvalidRequestError                the gateway or backend rejected the request
├── UnauthenticatedError               API key missing or wrong
│   └── ApiKeyError                    the `api_key` function failed
├── PermissionDeniedError
├── NotFoundError
├── AlreadyExistsError
├── FailedPreconditionError
├── AbortedError
│   └── ConflictError                  the etag is not the current etag
├── ResourceExhaustedError             quota, store full, message too large
├── UnsupportedError                   the gateway or backend does not have this call
├── UnavailableError                   no gateway or backend answers
├── DeadlineExceededError (TimeoutError)
├── CallCancelledError                 cancelled by the server or by the channel's owner
├── InternalError
├── UnknownError
├── DataLossError
├── ClientClosedError (RuntimeError)
├── WrongLoopError (RuntimeError)
├── RequestFailedError                 the responder reported a failure
├── StreamInterruptedError             the subscription will reconnect
└── StreamFailedError                  the subscription has ended for good
```

An error from a gRPC status is also a `grpc.RpcError` with `code()`, `details()` and
`trailing_metadata()`. An error from an in-band status (`success=false`) is also a `ValueError`. A
stream error is also an instance of the class of its cause. So one `except` by meaning catches all
of them, and code that catches `grpc.RpcError`, `ValueError` or `TimeoutError` keeps working.

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


# These classes stand for meanings only, because the same meaning may come as a gRPC status or as an
# in-band status. The raised objects are of private subclasses, which add `grpc.RpcError` or
# `ValueError`; see `_error_mapping`.
class VirtufinError(Exception):
    """The root of all errors that this SDK raises on purpose.

    An attribute is None if it does not apply to the error or is not known.

    Attributes:
        peer: The address of the gateway, such as `localhost:5002`.
        method: The full name of the RPC, such as `virtufin.State/GetState`.
        service: The backend of the call.
        key: The state key of the call.
        topic: The topic of the call.
        etag: The etag that was sent.
        status: The name of the gRPC status code, or the gateway's in-band status.
        attempt: The number of the attempt that failed, counted from 1.
        unknown: The unknown names in a rejected request: paths of fields, such as
            `code_source.urll`, or names of a method or service. Empty if there are none.
        nearest: Existing names similar to the first of `unknown`.
    """

    # On the class, because only errors of rejected requests set these attributes.
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
        # Made here, because some attributes are added after the error was created.
        parts = [f"{self.method or 'call'} at {self.peer}" if self.peer else self.method]
        for name in ("status", "service", "key", "topic", "etag", "attempt"):
            value = getattr(self, name)
            if value is not None:
                parts.append(f"{name} {value if name in ('status', 'attempt') else repr(value)}")
        context = ", ".join(part for part in parts if part)
        return f"{self.message} [{context}]" if context else self.message


class InvalidInputError(VirtufinError, ValueError):
    """An argument is invalid: wrong type, illegal name, empty topic. Nothing was sent."""

    # A ValueError, not a TypeError, for wrong types too, because users catch all invalid input by
    # one class.


class InvalidReplyError(VirtufinError, ValueError):
    """A reply or the data of an event cannot be decoded: not JSON, not UTF-8, not the message."""


class InvalidRequestError(VirtufinError):
    """The gateway or the backend rejected the request (INVALID_ARGUMENT, OUT_OF_RANGE)."""


class UnauthenticatedError(VirtufinError):
    """The API key is missing or wrong (UNAUTHENTICATED)."""


class ApiKeyError(UnauthenticatedError):
    """The `api_key` function failed; the `__cause__` is its error. A subscription tries again."""


class PermissionDeniedError(VirtufinError):
    """The API key does not allow this call (PERMISSION_DENIED)."""


class NotFoundError(VirtufinError):
    """The service, method or object does not exist (NOT_FOUND)."""


class AlreadyExistsError(VirtufinError):
    """The object to create already exists (ALREADY_EXISTS)."""


class FailedPreconditionError(VirtufinError):
    """The system is not in the state that the call requires (FAILED_PRECONDITION)."""


class AbortedError(VirtufinError):
    """The call lost against a concurrent call (ABORTED)."""


class ConflictError(AbortedError):
    """The key was written by another client since its etag was read.

    The attributes `service`, `key` and `etag` (the sent etag) are set. Read the key again and
    decide, or use `StateClient.update`, which reads again.
    """


class ResourceExhaustedError(VirtufinError):
    """A quota, the store, or the limit of the message size is exceeded (RESOURCE_EXHAUSTED)."""


class UnsupportedError(VirtufinError):
    """The gateway or backend does not have this call (UNIMPLEMENTED)."""


class UnavailableError(VirtufinError):
    """No gateway answers at the address, or the backend is not available (UNAVAILABLE)."""


# By version, because `asyncio.TimeoutError` is the builtin TimeoutError only from Python 3.11 on.
# Code that catches either must keep working on 3.10.
if sys.version_info >= (3, 11):

    class DeadlineExceededError(VirtufinError, TimeoutError):
        """The call did not finish within its timeout (DEADLINE_EXCEEDED)."""

else:

    class DeadlineExceededError(VirtufinError, TimeoutError, asyncio.TimeoutError):
        """The call did not finish within its timeout (DEADLINE_EXCEEDED)."""


class CallCancelledError(VirtufinError):
    """The call was cancelled by the server or by the channel's owner, not by the calling task."""


class InternalError(VirtufinError):
    """The gateway or backend has an internal error (INTERNAL)."""


class UnknownError(VirtufinError):
    """The gateway or backend failed and gave no reason (UNKNOWN)."""


class DataLossError(VirtufinError):
    """The gateway or backend lost or corrupted data beyond recovery (DATA_LOSS)."""


class ClientClosedError(VirtufinError, RuntimeError):
    """The client was closed; make a new client."""


class WrongLoopError(VirtufinError, RuntimeError):
    """The client belongs to another event loop; make one client per loop."""


class RequestFailedError(VirtufinError):
    """The responder reported a failure.

    The error is also an instance of the class for the reported status.
    """


class StreamInterruptedError(VirtufinError):
    """A subscription lost its stream and will reconnect.

    Events published in the meantime may be missing.

    Attributes:
        retry_in: Seconds until the next attempt.
    """

    # On the class, because the error is made from its cause, and the value is set afterwards.
    retry_in: float = 0.0


class StreamFailedError(VirtufinError):
    """A subscription has ended for good, because trying again would not change the answer."""
