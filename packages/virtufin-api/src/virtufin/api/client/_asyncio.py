"""Additions to asyncio that behave the same on every supported Python version."""

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
    """A function of the user raised a BaseException that is no `Exception`.

    The `__cause__` is that BaseException. A CancelledError counts only if the task that called the
    function was not cancelled.
    """


def is_being_cancelled() -> bool:
    """Returns whether the running task is being cancelled, as opposed to an awaited object.

    Always returns False on Python 3.10.
    """
    # By version, because `Task.cancelling` exists from Python 3.11 on.
    if sys.version_info >= (3, 11):
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    return False


class OtherCancelledError(Exception):
    """The awaited object was cancelled, not the task that awaited it."""


async def await_other(awaitable: Awaitable[Result]) -> Result:
    """Awaits an object that other code may cancel, and returns the result.

    Raises:
        OtherCancelledError: The awaited object was cancelled, but the running task was not.
        CancelledError: The running task was cancelled, and the awaited object with it.
    """
    if sys.version_info >= (3, 11):
        try:
            return await awaitable
        except asyncio.CancelledError:
            if is_being_cancelled():
                raise
            raise OtherCancelledError from None
    # With `wait` on Python 3.10, because a CancelledError there does not show which of the two was
    # cancelled.
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
        *arguments: The arguments of the function.
        is_ending: A function that returns whether the caller is ending its own tasks. Only Python
            3.10 needs this, to distinguish a cancellation of the running task from a cancellation
            of an object that the function awaited.

    Raises:
        UserFunctionError: The function raised a BaseException that is no `Exception`.
        Exception: The function raised this error.
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
        # Not converted, because callers handle an Exception, and the other two end the process.
        raise
    except BaseException as other:  # noqa: BLE001 - raised below, as what callers can handle
        error = other
    name = getattr(function, "__qualname__", repr(function))
    raise UserFunctionError(f"{name} raised {short_repr(error)}") from error


async def gather_all(calls: Iterable[Coroutine[Any, Any, Any]]) -> list[Any]:
    """Runs coroutines concurrently and returns their results in order.

    If a coroutine fails, the others are cancelled and awaited before the error is raised.
    """
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        # Cancelled here, because `gather` leaves the other tasks running when one fails.
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
