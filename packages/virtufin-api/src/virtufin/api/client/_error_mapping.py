"""Translation of gRPC statuses, in-band statuses and ends of streams into the public errors.

An in-band status is a failure that the gateway reports inside a reply, with `success=false`, while
the gRPC status of the call is OK.
"""

from __future__ import annotations

import copy
import functools
from typing import Any, Protocol

import grpc
from grpc import aio

from virtufin.api.client import errors
from virtufin.api.client._deadlines import Budget
from virtufin.api.client._types import Metadata
from virtufin.api.client.errors import CallCancelledError, VirtufinError

BY_CODE: dict[grpc.StatusCode, type[VirtufinError]] = {
    grpc.StatusCode.CANCELLED: errors.CallCancelledError,
    grpc.StatusCode.UNKNOWN: errors.UnknownError,
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidRequestError,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceededError,
    grpc.StatusCode.NOT_FOUND: errors.NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: errors.AlreadyExistsError,
    grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDeniedError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.ResourceExhaustedError,
    grpc.StatusCode.FAILED_PRECONDITION: errors.FailedPreconditionError,
    grpc.StatusCode.ABORTED: errors.AbortedError,
    grpc.StatusCode.OUT_OF_RANGE: errors.InvalidRequestError,
    grpc.StatusCode.UNIMPLEMENTED: errors.UnsupportedError,
    grpc.StatusCode.INTERNAL: errors.InternalError,
    grpc.StatusCode.UNAVAILABLE: errors.UnavailableError,
    grpc.StatusCode.DATA_LOSS: errors.DataLossError,
    grpc.StatusCode.UNAUTHENTICATED: errors.UnauthenticatedError,
}

# The same classes as for gRPC codes, because users catch errors by meaning: they must not need to
# know whether the gateway reported a failure by a gRPC status or in-band.
BY_STATUS: dict[str, type[VirtufinError]] = {
    "CONFLICT": errors.ConflictError,
    "INTERNAL": errors.InternalError,
    "INVALID_REQUEST": errors.InvalidRequestError,
    "NOT_FOUND": errors.NotFoundError,
    "UNAVAILABLE": errors.UnavailableError,
    "UNSUPPORTED": errors.UnsupportedError,
}


class _TransportError(grpc.RpcError):
    """The second base class of errors from a gRPC status: a `grpc.RpcError` with its methods."""

    # Defaults on the class, because errors are copied and unpickled without these arguments.
    _code: grpc.StatusCode = grpc.StatusCode.UNKNOWN
    _details: str = ""
    _debug: str = ""
    _trailing: Metadata = ()

    def code(self) -> grpc.StatusCode:
        """Returns the gRPC status code."""
        return self._code

    def details(self) -> str:
        """Returns the text that was sent with the status."""
        return self._details

    def debug_error_string(self) -> str:
        """Returns the text for debugging that grpc attached to its error."""
        return self._debug

    def trailing_metadata(self) -> Any:
        """Returns the metadata sent with the status."""
        return self._trailing


class _InBandError(ValueError):
    """The second base class of errors from an in-band status: a `ValueError`."""


def from_status(
    code: grpc.StatusCode,
    message: str,
    *,
    details: str = "",
    debug: str = "",
    trailing: Metadata = (),
    kind: type[VirtufinError] | None = None,
    **context: Any,
) -> VirtufinError:
    """Returns the error for a gRPC status.

    Args:
        code: The status code.
        message: The message of the error.
        details: The text sent with the status.
        debug: The text for debugging that grpc attached to its error.
        trailing: The metadata sent with the status.
        kind: The class of the error; None for the class that belongs to the code.
        **context: Attributes to set on the error: peer, method, service, key, topic, etag, attempt.
    """
    combined = _combine(kind or BY_CODE.get(code, errors.UnknownError), _TransportError)
    error = combined(message, status=code.name, **context)
    parts = {"_code": code, "_details": details, "_debug": debug, "_trailing": trailing}
    error.__dict__.update(parts)
    return error


def narrow(error: VirtufinError, kind: type[VirtufinError], **context: Any) -> VirtufinError:
    """Returns a copy of an error that is also an instance of a narrower class.

    Args:
        error: The error, such as an AbortedError.
        kind: The narrower class, such as ConflictError.
        **context: Attributes to set on the copy.
    """
    narrowed = _combine(kind, *_kinds_of(error))(error.message)
    narrowed.__dict__.update(error.__dict__, **context)
    return narrowed


def from_refusal(
    status: str, message: str, *, kind: type[VirtufinError] | None = None, **context: Any
) -> VirtufinError:
    """Returns the error for an in-band status.

    Args:
        status: The in-band status, such as `NOT_FOUND`; it determines the class of the error.
        message: The message of the error.
        kind: A further class of which the error is an instance; None for no further class.
        **context: Attributes to set on the error.
    """
    meaning = BY_STATUS.get(status.upper(), errors.UnknownError)
    kinds = (meaning,) if kind is None else (kind, meaning)
    return _combine(*kinds, _InBandError)(message, status=status or "UNKNOWN", **context)


def status_of(error: BaseException) -> str:
    """Returns the in-band status for an error, such as `NOT_FOUND`.

    Errors of this client without such a status get UNKNOWN, and all other exceptions INTERNAL.
    """
    for status, meaning in BY_STATUS.items():
        if isinstance(error, meaning):
            return status
    return "UNKNOWN" if isinstance(error, VirtufinError) else "INTERNAL"


def copy_error(error: VirtufinError) -> VirtufinError:
    """Returns a copy of an error, without its traceback."""
    # A new object, because each raise adds to the traceback of an error.
    twin = copy.copy(error)
    # By hand, because `copy` does not copy the cause.
    twin.__cause__ = error.__cause__
    return twin


def with_suggestion(error: VirtufinError, advice: str, **context: Any) -> VirtufinError:
    """Returns a copy of an error with advice added to its message.

    Args:
        error: The error.
        advice: The sentence to add.
        **context: Attributes to set on the copy.
    """
    twin = copy_error(error)
    twin.__dict__.update(context, message=f"{error.message.rstrip('.')}. {advice}")
    twin.args = (twin.message,)
    return twin


def wrap_error(
    kind: type[VirtufinError], message: str, cause: VirtufinError | None, **context: Any
) -> VirtufinError:
    """Returns an error of class `kind` that is also an instance of the class of its cause.

    The error gets the attributes of the cause.

    Args:
        kind: The class of the error, such as StreamFailedError.
        message: The message of the error.
        cause: The error to wrap; None for no cause.
        **context: Attributes to set on the error instead of those of the cause.
    """
    kinds = () if cause is None else _kinds_of(cause)
    error = _combine(kind, *kinds)(message)
    error.__dict__.update({} if cause is None else cause.__dict__)
    error.__dict__.update(context, message=message)
    error.__cause__ = cause
    return error


def _kinds_of(error: VirtufinError) -> tuple[type[BaseException], ...]:
    return getattr(type(error), "_kinds", None) or (type(error),)


def _combine(*kinds: type[BaseException]) -> type[VirtufinError]:
    return _make_class(kinds)


# Cached, because making a class for each error would be slow.
@functools.cache
def _make_class(kinds: tuple[type[BaseException], ...]) -> type[VirtufinError]:
    """Returns a class that derives from all the given classes. Its name is that of the first."""
    bases: list[type[BaseException]] = []
    # A class is left out if another one is its subclass, because Python cannot make a class from
    # some lists that hold both.
    for kind in kinds:
        if not any(issubclass(base, kind) for base in bases):
            bases = [base for base in bases if not issubclass(kind, base)]
            bases.append(kind)
    namespace = {
        "__module__": kinds[0].__module__,
        "__doc__": kinds[0].__doc__,
        # Defined here, because pickle cannot find classes that are made at run time.
        "__reduce__": _reduce,
        "_kinds": kinds,
    }
    return type(kinds[0].__name__, tuple(bases), namespace)


def _reduce(error: VirtufinError) -> tuple[Any, ...]:
    return _restore, (_kinds_of(error), error.message, error.__dict__)


def _restore(
    kinds: tuple[type[BaseException], ...], message: str, state: dict[str, Any]
) -> VirtufinError:
    error = _combine(*kinds)(message)
    error.__dict__.update(state)
    return error


# Hints, because a status code alone does not show what to do.
_HINTS = {
    grpc.StatusCode.UNAVAILABLE: "is a gateway running there, and is it the native gRPC port?",
    grpc.StatusCode.UNAUTHENTICATED: "set api_key= or VIRTUFIN_API_KEY to a key the gateway knows",
    grpc.StatusCode.PERMISSION_DENIED: "this API key does not allow it",
    grpc.StatusCode.UNIMPLEMENTED: "the gateway does not have this call; it may be older or newer",
    grpc.StatusCode.DEADLINE_EXCEEDED: "give more time with timeout= or deadline()",
}
_TOO_LARGE = "raise max_message_bytes= here, and the gateway's own limit, or send less"


class Redacting(Protocol):
    """An object that removes secrets, such as API keys, from error messages and metadata."""

    def redact(self, text: str) -> str:
        """Returns the text without secrets."""

    def redact_value(self, value: str | bytes) -> str | bytes:
        """Returns a metadata value without secrets."""


def from_rpc_error(error: aio.AioRpcError, redacting: Redacting, **context: Any) -> VirtufinError:
    """Returns the error for a gRPC error of a call, without secrets.

    Args:
        error: The error of grpc.
        redacting: The object that removes secrets from the texts and metadata of the error.
        **context: Attributes to set on the error.
    """
    code = error.code()
    details = redacting.redact(error.details() or "")
    trailing: Metadata = tuple(
        (key, redacting.redact_value(value)) for key, value in (error.trailing_metadata() or ())
    )
    hint = _HINTS.get(code)
    # Recognised by the text, because the code also stands for exceeded quotas, which a larger
    # limit of the message size would not change.
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
        hint = _TOO_LARGE
    message = details or code.name
    return from_status(
        code,
        f"{message} ({hint})" if hint else message,
        details=details,
        debug=redacting.redact(error.debug_error_string() or ""),
        trailing=trailing,
        **context,
    )


def unreachable(details: str, **context: Any) -> VirtufinError:
    """Returns the error for a call that was not sent, because the gateway is not reachable."""
    code = grpc.StatusCode.UNAVAILABLE
    return from_status(code, f"{details} ({_HINTS[code]})", details=details, **context)


def expired(budget: Budget, **context: Any) -> VirtufinError:
    """Returns the error for a call whose deadline ended before the call was sent."""
    total = budget.total or 0.0
    return from_status(
        grpc.StatusCode.DEADLINE_EXCEEDED,
        f"nothing was left of the deadline ({total:.3g} s) when the call was to be sent",
        details="deadline exceeded before the call was sent",
        **context,
    )


def cancelled_elsewhere(context: dict[str, Any]) -> VirtufinError:
    """Returns the error for a call that was cancelled neither by its task nor by this client."""
    return from_status(
        grpc.StatusCode.CANCELLED,
        "the call was cancelled by the owner of the channel",
        details="cancelled by the owner of the channel",
        kind=CallCancelledError,
        **context,
    )
