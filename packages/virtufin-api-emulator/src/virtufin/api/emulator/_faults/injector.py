"""Fault injection in the process of the gateway: applies fault plans to calls and streams."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

import grpc
import grpc.aio

from virtufin.api.client._backends import closest_names
from virtufin.api.emulator._backends import Subscription
from virtufin.api.emulator._status_errors import (
    Continuation,
    Handler,
    StatusError,
    make_refusing_handler,
)
from virtufin.api.emulator.faults import (
    ANY,
    CALL_ACTIONS,
    Faults,
    Plan,
    Spec,
    shorten_method,
    to_status_code,
)

from .active_plans import ActivePlan, FaultyStream, carries_topic


class Injector(Faults):
    """Faults of calls and streams of an emulator in this process."""

    def __init__(self, methods: Iterable[str], infrastructure: Iterable[str] = ()) -> None:
        """Does no I/O and needs no running event loop.

        Args:
            methods: Full names of the gateway's methods. A plan for `"*"` applies to all of them.
            infrastructure: Full names of further methods, such as health checks. A plan applies to
                such a method only by its name.
        """
        self._methods = frozenset(methods)
        self._known = self._methods | frozenset(infrastructure)
        self._on_calls: list[ActivePlan] = []
        self._on_streams: list[ActivePlan] = []
        # A dict, not a set, because plans apply to the oldest streams first.
        self._streams: dict[FaultyStream, None] = {}

    def clear(self) -> None:
        for plan in (*self._on_calls, *self._on_streams):
            plan.lift()
        self._on_calls.clear()
        self._on_streams.clear()

    @property
    def open_streams(self) -> int:
        return len(self._streams)

    async def apply(self, method: str, topics: Collection[str] | None = None) -> None:
        """Delays or fails a call as the plans say. Servicers and interceptors call this first.

        Args:
            method: Full name of the method, such as `virtufin.State/GetState`.
            topics: Topics of the call. Empty means all topics. None means that the call has no
                topic.

        Raises:
            StatusError: A plan fails the call.
        """
        # A copy, because plans may be added or removed while a delay is awaited.
        for plan in tuple(self._on_calls):
            if not plan.matches_call(method, topics):
                continue
            plan.consume()
            if plan.spec.action == "fail":
                raise plan.make_error(f"{method} failed by a fault plan")
            with plan.wait_lifted() as lifted:
                await asyncio.wait((lifted,), timeout=plan.spec.seconds)

    @contextmanager
    def open_stream(self, subscription: Subscription) -> Iterator[FaultyStream]:
        """Registers a stream for the plans while the `with` block runs.

        Args:
            subscription: Subscription of the stream.

        Yields:
            The stream with the plans that apply to it.
        """
        stream = FaultyStream(subscription)
        for plan in self._on_streams:
            if plan.matches_stream(stream.topics):
                stream.hold(plan)
        self._streams[stream] = None
        try:
            yield stream
        finally:
            del self._streams[stream]
            stream.close()

    def add(self, spec: Spec) -> Plan:
        on_calls = spec.action in CALL_ACTIONS
        plan = ActivePlan(spec, self._resolve(spec.method) if on_calls else frozenset())
        plans = self._on_calls if on_calls else self._on_streams
        # Plans that are over are dropped here, so that the list does not grow without bound.
        plans[:] = [other for other in plans if not other.over]
        plans.append(plan)
        # hold_headers leaves open streams out, because they have usually sent their headers.
        if plans is self._on_streams and spec.action != "hold_headers":
            for stream in self._streams:
                if plan.matches_stream(stream.topics):
                    stream.hold(plan)
                    stream.cut_if_due()
        return plan

    def _cut(self, code: str, topic: str | None, details: str) -> int:
        reason = StatusError(to_status_code(code), details or "stream cut by a fault plan")
        streams = [stream for stream in self._streams if carries_topic(stream.topics, topic)]
        for stream in streams:
            stream.end(reason)
        return len(streams)

    def _resolve(self, method: str) -> frozenset[str]:
        if method == ANY:
            return self._methods
        name = method.removeprefix("/")
        found = frozenset(known for known in self._known if name in (known, shorten_method(known)))
        if found:
            return found
        # The error suggests similar names, because a misspelled method is the usual mistake.
        names = {*self._known, *(shorten_method(known) for known in self._known)}
        near = closest_names(name, names)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(f"the gateway has no method {method!r}{hint}")


class FaultInterceptor(grpc.aio.ServerInterceptor):
    """A gRPC interceptor that applies the plans to calls before their requests are read.

    Calls that name a topic are left to their servicers, because the topic is in the request.
    """

    def __init__(self, injector: Injector, *, with_topic: Collection[str]) -> None:
        """Does no I/O and needs no running event loop.

        Args:
            injector: The plans in force.
            with_topic: Full names of the methods whose requests name a topic.
        """
        self._injector = injector
        self._with_topic = with_topic

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Applies the plans and returns the handler of the call. grpc calls this for each call."""
        method = handler_call_details.method.removeprefix("/")
        if method not in self._with_topic:
            try:
                await self._injector.apply(method)
            except StatusError as refused:
                return make_refusing_handler(refused.code, refused.details)
        return await continuation(handler_call_details)
