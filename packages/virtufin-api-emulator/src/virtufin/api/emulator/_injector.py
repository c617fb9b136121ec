"""Carries fault plans out, in the process of the gateway."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

import grpc
import grpc.aio

from virtufin.api.emulator._broker import Subscription
from virtufin.api.emulator._plans import ANY, CALL_ACTIONS, Plan, Spec, status_code
from virtufin.api.emulator._refusal import Continuation, Handler, RefusedError, refusing_handler
from virtufin.api.emulator.faults import Faults


class _Active(Plan):
    """A plan in force here."""

    def __init__(self, spec: Spec, methods: frozenset[str]) -> None:
        self.spec = spec
        self.lifted = False
        self.holds = 0
        self._methods = methods
        self._used = 0
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def used(self) -> int:
        return self._used

    @property
    def used_up(self) -> bool:
        """Whether it takes hold of nothing more."""
        return self.lifted or self._used == self.spec.times

    @property
    def over(self) -> bool:
        """Whether it is used up and holds nothing."""
        return self.lifted or (self.used_up and not self.holds)

    def lift(self) -> None:
        self.lifted = True
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    def meets(self, method: str, topics: Collection[str] | None) -> bool:
        """Whether a call falls under it.

        Args:
            method: Full name.
            topics: What the call is about, empty for all topics; None while that is not known,
                which only plans without a topic take.
        """
        if self.used_up or method not in self._methods:
            return False
        if topics is None or self.spec.topic is None:
            return topics is None and self.spec.topic is None
        return not topics or self.spec.topic in topics

    def carries(self, topics: Collection[str]) -> bool:
        """Whether a stream of these topics falls under it."""
        return not self.used_up and _carries(topics, self.spec.topic)

    def use(self) -> None:
        """Takes hold of one more."""
        self._used += 1

    @contextmanager
    def lifting(self) -> Iterator[asyncio.Future[None]]:
        """A future that is done when the plan is lifted."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.lifted:
            future.set_result(None)
        self._waiting.add(future)
        self.holds += 1
        try:
            yield future
        finally:
            self.holds -= 1
            self._waiting.discard(future)

    def refusal(self, default: str) -> RefusedError:
        """What ends a call or stream."""
        return RefusedError(self.spec.status, self.spec.details or default)


class FaultyStream:
    """One Subscribe stream, with the plans that have taken hold of it."""

    def __init__(self, subscription: Subscription) -> None:
        self.topics = subscription.topics
        self.end = subscription.end
        self.holds_headers = False
        self._subscription = subscription
        self._held: list[tuple[_Active, int]] = []
        self._sent = 0

    def hold(self, plan: _Active) -> None:
        """Comes under a plan."""
        plan.use()
        plan.holds += 1
        self._held.append((plan, self._sent))
        self.holds_headers = self.holds_headers or plan.spec.action == "hold_headers"

    def close(self) -> None:
        """Is gone, whatever plans there are."""
        for plan, _ in self._held:
            plan.holds -= 1

    def cut_if_due(self) -> None:
        """Ends the stream where a plan says that it has sent enough."""
        for plan in self._due("cut"):
            self.end(plan.refusal("stream cut by a fault plan"))
            return

    async def before_write(self) -> None:
        """Waits as long as plans say.

        Raises:
            RefusedError: The stream was ended, by a plan or meanwhile.
        """
        for plan in self._due("slow_writes"):
            with plan.lifting() as lifted:
                await self._subscription.hold(lifted, plan.spec.seconds)
        while stalls := self._due("stall"):
            with stalls[0].lifting() as lifted:
                await self._subscription.hold(lifted, None)
        for plan in self._due("fail_write"):
            raise plan.refusal("writing failed by a fault plan")

    def wrote(self) -> None:
        """One more event was sent."""
        self._sent += 1
        self.cut_if_due()

    def _due(self, action: str) -> list[_Active]:
        return [
            plan
            for plan, since in self._held
            if plan.spec.action == action
            and not plan.lifted
            and self._sent - since >= plan.spec.after
        ]


class Injector(Faults):
    """The faults of an emulator in this process."""

    def __init__(self, methods: Iterable[str], infrastructure: Iterable[str] = ()) -> None:
        """Needs no running loop.

        Args:
            methods: Full names of the gateway's methods; `"*"` means these.
            infrastructure: Full names of further methods, failed only when named.
        """
        self._methods = frozenset(methods)
        self._known = self._methods | frozenset(infrastructure)
        self._on_calls: list[_Active] = []
        self._on_streams: list[_Active] = []
        self._streams: dict[FaultyStream, None] = {}

    def clear(self) -> None:
        for plan in (*self._on_calls, *self._on_streams):
            plan.lift()
        self._on_calls.clear()
        self._on_streams.clear()

    @property
    def open_streams(self) -> int:
        return len(self._streams)

    async def meet(self, method: str, topics: Collection[str] | None = None) -> None:
        """Delays or refuses a call that has just come in.

        Args:
            method: Full name, `virtufin.State/GetState`.
            topics: What the call is about, empty for all topics; None where that is not known yet
                or means nothing.

        Raises:
            RefusedError: The call fails.
        """
        for plan in tuple(self._on_calls):
            if not plan.meets(method, topics):
                continue
            plan.use()
            if plan.spec.action == "fail":
                raise plan.refusal(f"{method} failed by a fault plan")
            with plan.lifting() as lifted:
                await asyncio.wait((lifted,), timeout=plan.spec.seconds)

    @contextmanager
    def stream(self, subscription: Subscription) -> Iterator[FaultyStream]:
        """An open stream, within reach of the plans."""
        stream = FaultyStream(subscription)
        for plan in self._on_streams:
            if plan.carries(stream.topics):
                stream.hold(plan)
        self._streams[stream] = None
        try:
            yield stream
        finally:
            del self._streams[stream]
            stream.close()

    def add(self, spec: Spec) -> Plan:
        plan = _Active(spec, self._resolve(spec.method))
        plans = self._on_calls if spec.action in CALL_ACTIONS else self._on_streams
        plans[:] = [other for other in plans if not other.over]
        plans.append(plan)
        if plans is self._on_streams and spec.action != "hold_headers":
            for stream in self._streams:
                if plan.carries(stream.topics):
                    stream.hold(plan)
                    stream.cut_if_due()
        return plan

    def _cut(self, code: str, topic: str | None, details: str) -> int:
        reason = RefusedError(status_code(code), details or "stream cut by a fault plan")
        streams = [stream for stream in self._streams if _carries(stream.topics, topic)]
        for stream in streams:
            stream.end(reason)
        return len(streams)

    def _resolve(self, method: str) -> frozenset[str]:
        if method == ANY:
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


def _carries(topics: Collection[str], topic: str | None) -> bool:
    """Whether a stream of these topics, all for none, carries the one asked for, any for None."""
    return topic is None or not topics or topic in topics


class FaultInterceptor(grpc.aio.ServerInterceptor):
    """Lets each call meet the plans that need not know what it is about."""

    def __init__(self, injector: Injector) -> None:
        self._injector = injector

    async def intercept_service(
        self,
        continuation: Continuation,
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Called by grpc for each call."""
        try:
            await self._injector.meet(handler_call_details.method.removeprefix("/"))
        except RefusedError as refused:
            return refusing_handler(refused.code, refused.details)
        return await continuation(handler_call_details)
