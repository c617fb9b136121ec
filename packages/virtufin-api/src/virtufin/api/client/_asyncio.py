"""What this client needs of asyncio beyond its own functions, alike on every supported Python."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

from virtufin.api.client._validation import short_repr
from virtufin.api.client.errors import InternalError

Result = TypeVar("Result")


class UserFunctionError(InternalError):
    """A function of the user raised what is no `Exception`; that is the cause.

    A cancellation counts if it was not sent to the task that called the function.
    """


def is_being_cancelled() -> bool:
    """Returns whether the running task is being cancelled, as opposed to something it awaited.

    Always False on Python 3.10, which cannot tell.
    """
    if sys.version_info >= (3, 11):
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    return False


class OtherCancelledError(Exception):
    """What was awaited was cancelled, not the task that awaited it."""


async def await_other(awaitable: Awaitable[Result]) -> Result:
    """Awaits what others may cancel, without taking that for a cancellation of the running task.

    Raises:
        OtherCancelledError: It was cancelled.
        CancelledError: The running task was cancelled, and what it awaited with it.
    """
    if sys.version_info >= (3, 11):
        try:
            return await awaitable
        except asyncio.CancelledError:
            if is_being_cancelled():
                raise
            raise OtherCancelledError from None
    # Python 3.10 can only tell by waiting beside it.
    other = asyncio.ensure_future(awaitable)
    try:
        await asyncio.wait((other,))
    except asyncio.CancelledError:
        other.cancel()
        raise
    if other.cancelled():
        raise OtherCancelledError
    return other.result()


async def call_user(
    function: Callable[..., Any],
    *arguments: object,
    is_ending: Callable[[], bool] = is_being_cancelled,
) -> Any:
    """Calls a function of the user, plain or async, and returns its result.

    Args:
        function: The function.
        *arguments: What it is called with.
        is_ending: Whether its caller is ending its own tasks. Only Python 3.10 needs it, to tell
            a cancellation by the caller from one of something that the function awaited.

    Raises:
        UserFunctionError: The function raised what is no `Exception`.
        Exception: Whatever else it raised.
        CancelledError: The running task was cancelled.
    """
    error: BaseException
    try:
        result = function(*arguments)
        return await result if inspect.isawaitable(result) else result
    except asyncio.CancelledError as cancelled:
        if is_being_cancelled() or is_ending():
            raise
        error = cancelled
    except (Exception, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as other:  # noqa: BLE001 - raised below, as what callers can handle
        error = other
    name = getattr(function, "__qualname__", repr(function))
    raise UserFunctionError(f"{name} raised {short_repr(error)}") from error


async def gather_all(calls: Iterable[Coroutine[Any, Any, Any]]) -> list[Any]:
    """Returns the results of all, in order; if one fails, the others are cancelled first."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
