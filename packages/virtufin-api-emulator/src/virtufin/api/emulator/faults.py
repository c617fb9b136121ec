"""Fault plans: what goes wrong next, on purpose."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
import grpc.aio

from virtufin.api.emulator._checks import text, whole
from virtufin.api.emulator._refusal import Continuation, Handler, RefusedError, refusing_handler

EVERYTHING = "*"


@dataclass
class _Failure:
    """Calls of these methods fail, so many times."""

    methods: frozenset[str]
    code: grpc.StatusCode
    details: str
    remaining: int


class Faults:
    """The faults of one emulator; they survive its stop and start.

    Example:
        >>> import grpc
        >>> from virtufin.api.emulator import Emulator
        >>> gateway = Emulator()
        >>> gateway.faults.fail("State/GetState", grpc.StatusCode.UNAVAILABLE, times=2)
        >>> gateway.faults.clear()
    """

    def __init__(self, methods: Iterable[str], infrastructure: Iterable[str] = ()) -> None:
        """Called by the emulator.

        Args:
            methods: Full names of the gateway's methods; `"*"` means these.
            infrastructure: Full names of further methods, failed only when named.
        """
        self._methods = frozenset(methods)
        self._known = self._methods | frozenset(infrastructure)
        self._failures: list[_Failure] = []
        self._streams: dict[Callable[[RefusedError], None], None] = {}

    def fail(
        self,
        method: str,
        code: grpc.StatusCode | str,
        *,
        times: int = 1,
        details: str = "",
    ) -> None:
        """Fails the next calls of a method, before anything of them is carried out.

        Plans add up; of several for one method the oldest is used up first.

        Args:
            method: `"State/GetState"`, `"virtufin.State/GetState"`, or `"*"` for any method of
                the gateway's own services. Health and reflection can be named, too
                (`"grpc.health.v1.Health/Check"`), and are not part of `"*"`.
            code: The status, as `grpc.StatusCode` or by name; not OK.
            times: How many calls, from 1 up.
            details: The status text; a default names the method.

        Raises:
            ValueError: No such method (the text lists the nearest names), no such code, or
                `times` below 1.
            TypeError: An argument has the wrong type.
        """
        failing_code = checked_plan(method, code, times, details)
        self._failures.append(_Failure(self._resolve(method), failing_code, details, times))

    def cut_streams(
        self, code: grpc.StatusCode | str = grpc.StatusCode.UNAVAILABLE, *, details: str = ""
    ) -> int:
        """Ends every open Subscribe stream at once; what it had not sent yet is lost.

        Args:
            code: The status the streams end with; OK is a clean end.
            details: The status text.

        Returns:
            How many streams there were.

        Raises:
            ValueError: No such code.
            TypeError: An argument has the wrong type.
        """
        text(details, "details", empty=True)
        reason = RefusedError(status_code(code), details or "stream cut by a fault plan")
        streams = list(self._streams)
        for cut in streams:
            cut(reason)
        return len(streams)

    def clear(self) -> None:
        """Drops all plans that are not used up."""
        self._failures.clear()

    @property
    def open_streams(self) -> int:
        """How many Subscribe streams are open."""
        return len(self._streams)

    def take(self, method: str) -> tuple[grpc.StatusCode, str] | None:
        """Uses up one failure for a call that has just come in. Called by the emulator.

        Args:
            method: Full name, `virtufin.State/GetState`.

        Returns:
            The status to fail it with, or None.
        """
        for failure in self._failures:
            if method in failure.methods:
                failure.remaining -= 1
                if not failure.remaining:
                    self._failures.remove(failure)
                return failure.code, failure.details or f"{method} failed by a fault plan"
        return None

    @contextmanager
    def stream(self, cut: Callable[[RefusedError], None]) -> Iterator[None]:
        """Puts an open stream within reach of `cut_streams`. Called by the emulator."""
        self._streams[cut] = None
        try:
            yield
        finally:
            del self._streams[cut]

    def _resolve(self, method: str) -> frozenset[str]:
        if method == EVERYTHING:
            return self._methods
        name = method.removeprefix("/")
        found = frozenset(known for known in self._known if name in (known, _short(known)))
        if found:
            return found
        names = {*self._known, *(_short(known) for known in self._known)}
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(f"the gateway has no method {method!r}{hint}")


def _short(full_name: str) -> str:
    """`virtufin.State/GetState` without the package."""
    service, _, method = full_name.partition("/")
    return f"{service.rpartition('.')[2]}/{method}"


def status_code(code: grpc.StatusCode | str) -> grpc.StatusCode:
    """A status by itself or by name.

    Raises:
        ValueError: There is none of that name.
        TypeError: It is neither a status nor text.
    """
    if isinstance(code, grpc.StatusCode):
        return code
    if not isinstance(code, str):
        raise TypeError(f"code is a grpc.StatusCode or its name, got {code!r}")
    try:
        return grpc.StatusCode[code]
    except KeyError:
        names = ", ".join(known.name for known in grpc.StatusCode)
        raise ValueError(f"no gRPC status {code!r}; there are {names}") from None


def checked_plan(
    method: str, code: grpc.StatusCode | str, times: int, details: str
) -> grpc.StatusCode:
    """Checks what can be told of a plan without the gateway, and returns its status.

    Raises:
        ValueError: No such code, OK, or `times` below 1.
        TypeError: An argument has the wrong type.
    """
    text(method, "method", empty=True)
    whole(times, "times", 1, sys.maxsize)
    text(details, "details", empty=True)
    failing_code = status_code(code)
    if failing_code is grpc.StatusCode.OK:
        raise ValueError("OK is no failure")
    return failing_code


class FaultInterceptor(grpc.aio.ServerInterceptor):
    """Fails calls as the plans say."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    async def intercept_service(
        self,
        continuation: Continuation,
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Called by grpc for each call."""
        failure = self._faults.take(handler_call_details.method.removeprefix("/"))
        if failure is not None:
            return refusing_handler(*failure)
        return await continuation(handler_call_details)
