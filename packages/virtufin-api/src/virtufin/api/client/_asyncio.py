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

    The `__cause__` is that BaseException. If the function raised CancelledError, this error is made
    only if the task that called the function was not itself cancelled.
    """


def is_being_cancelled() -> bool:
    """Returns True if the running task itself is being cancelled.

    After a CancelledError, False means that other code cancelled an object that the task awaited.
    On Python 3.10 the result is always False.
    """
    # By version, because `Task.cancelling` exists from Python 3.11 on.
    if sys.version_info >= (3, 11):
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    return False


KNOWS_OWN_CANCELLATION = sys.version_info >= (3, 11)
"""True if the result of `is_being_cancelled` is reliable, which is so from Python 3.11 on."""


class OtherCancelledError(Exception):
    """The awaited object was cancelled, not the task that awaited it."""


async def await_other(awaitable: Awaitable[Result]) -> Result:
    """Awaits an object that other code may cancel, and returns the result; for Python 3.10.

    On later versions callers await the object itself, and call `is_being_cancelled` after a
    CancelledError.

    Raises:
        OtherCancelledError: The awaited object was cancelled, but the running task was not.
        CancelledError: The running task was cancelled, and the awaited object with it.
    """
    # With `wait`, because a CancelledError of the object would look like one of the task.
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
        is_ending: A function that returns True while the caller is cancelling its own tasks. Only
            Python 3.10 needs this, to distinguish a cancellation of the running task from a
            cancellation of an object that the function awaited.

    Raises:
        UserFunctionError: The function raised a BaseException that is no `Exception`.
        Exception: The function raised this error.
        CancelledError: The running task was cancelled.
    """
    try:
        result = function(*arguments)
        return await result if inspect.isawaitable(result) else result
    except Exception:
        raise
    except BaseException as error:
        raise user_error(function, error, is_ending) from error


def user_error(
    function: Callable[..., Any], error: BaseException, is_ending: Callable[[], bool]
) -> UserFunctionError:
    """Returns the error for a BaseException that a function of the user raised.

    Args:
        function: The function of the user, named in the error message.
        error: The BaseException.
        is_ending: As in `call_user`.

    Raises:
        BaseException: `error` itself, if it is a KeyboardInterrupt, a SystemExit, or a cancellation
            of the running task.
    """
    ends_process = isinstance(error, (KeyboardInterrupt, SystemExit))
    cancelled = isinstance(error, asyncio.CancelledError) and (is_being_cancelled() or is_ending())
    if ends_process or cancelled:
        raise error
    name = getattr(function, "__qualname__", repr(function))
    failure = UserFunctionError(f"{name} raised {short_repr(error)}")
    failure.__cause__ = error
    return failure


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
