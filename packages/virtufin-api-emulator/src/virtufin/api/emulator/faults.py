"""Faults of calls and streams that a test causes on purpose.

A fault plan, or plan, is the instruction to cause one kind of fault, such as: fail the next two
calls of `State/GetState`. A plan is in force from its creation until it is used up or lifted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import grpc

from virtufin.api.client._validation import LARGEST
from virtufin.api.emulator._validation import require_seconds, require_text, require_whole

__all__ = ["Code", "Faults", "Plan"]

CALL_ACTIONS = ("fail", "delay")
"""The actions of plans on calls. They are carried out when a call arrives."""
STREAM_ACTIONS = ("cut", "fail_write", "stall", "slow_writes", "hold_headers")
"""The actions of plans on the streams that carry events to subscribers."""
STREAMING = "Pubsub/Subscribe"
"""The method that plans on streams name, although they apply to every method that streams."""
ANY = "*"
"""The name that stands for every method of the gateway's own services."""
# Calls that name a topic. A plan with `topic` for any other method is rejected, because such a
# plan could never match a call and the test would pass without a fault.
_WITH_TOPIC = (
    "Pubsub/PublishEvent",
    STREAMING,
    "Gateway/Subscribe",
    "Dapr/PublishEvent",
    "Dapr/BulkPublishEventAlpha1",
)


def shorten_method(full_name: str) -> str:
    """Returns a full method name without its package, such as `State/GetState`."""
    service, _, method = full_name.partition("/")
    return f"{service.rpartition('.')[2]}/{method}"


def to_status_code(code: grpc.StatusCode | str) -> grpc.StatusCode:
    """Returns a gRPC status code, given as such or by its name.

    Args:
        code: The status code, or a name such as `UNAVAILABLE`.

    Raises:
        ValueError: No status has that name.
        TypeError: `code` is neither a status nor text.
    """
    if isinstance(code, grpc.StatusCode):
        return code
    if not isinstance(code, str):
        raise TypeError(f"code is a grpc.StatusCode or its name, got {code!r}")
    try:
        return grpc.StatusCode[code]
    except KeyError:
        # `from None`, because the KeyError only repeats the name.
        names = ", ".join(known.name for known in grpc.StatusCode)
        raise ValueError(f"no gRPC status {code!r}; there are {names}") from None


@dataclass(frozen=True)
class Spec:
    """The content of one fault plan, as plain values.

    The values can be sent as JSON, to an emulator in another process.

    Raises:
        ValueError: A value is out of its range, or does not fit the other values.
        TypeError: A value has the wrong type.
    """

    action: str
    """The kind of fault: one of `CALL_ACTIONS` or `STREAM_ACTIONS`."""
    method: str = STREAMING
    """The method whose calls the plan applies to. Plans on streams ignore it."""
    topic: str | None = None
    """The topic of the calls or streams that the plan applies to. None means any."""
    times: int | None = 1
    """The number of calls or streams that the plan applies to. None means no limit."""
    # The name, not the status: the control service sends a plan as JSON.
    code: str = "UNAVAILABLE"
    """The name of the status that ends calls or streams."""
    details: str = ""
    """The status text. Empty means a text that names the fault plan as the cause."""
    after: int = 0
    """The number of events that a stream sends before the fault."""
    seconds: float = 0.0
    """The delay of a call, or the wait before each event of a stream."""

    def __post_init__(self) -> None:
        # Checked here, so that the gateway's process and another process reject the same plans.
        if self.action not in (*CALL_ACTIONS, *STREAM_ACTIONS):
            raise ValueError(f"unknown action {self.action!r}")
        require_text(self.method, "method", empty=True)
        if self.times is not None:
            require_whole(self.times, "times", 1)
        require_text(self.details, "details", empty=True)
        require_whole(self.after, "after", 0, LARGEST)
        code = to_status_code(self.code)
        # Streams may be cut with OK, because a clean end of a stream is a fault as well.
        if code is grpc.StatusCode.OK and self.action in ("fail", "fail_write"):
            raise ValueError("OK is no failure")
        if self.topic is not None:
            require_text(self.topic, "topic")
            if (
                self.method != ANY
                and shorten_method(self.method.removeprefix("/")) not in _WITH_TOPIC
            ):
                raise ValueError(
                    f"topic goes with {' and '.join(_WITH_TOPIC)}, not with {self.method!r}"
                )
        if self.action in ("delay", "slow_writes"):
            require_seconds(self.seconds, "seconds")

    @property
    def status(self) -> grpc.StatusCode:
        """The status that ends calls or streams."""
        return to_status_code(self.code)


class Plan(ABC):
    """A fault plan in force: the instruction to cause a fault, until it is used up or lifted.

    A plan is used up after the number of calls or streams that it was made for. `lift`, or the end
    of a `with` block, ends the plan earlier.

    The plan may be in force in another process. If that process does not answer, `used` and `lift`
    raise ConnectionError. The end of a `with` block raises ConnectionError only if the block has
    not raised.

    Example:
        >>> from virtufin.api.emulator import Emulator
        >>> gateway = Emulator()
        >>> with gateway.faults.fail("State/GetState", "UNAVAILABLE", times=None) as plan:
        ...     plan.used
        0
    """

    @property
    @abstractmethod
    def used(self) -> int:
        """The number of calls, streams or connections that the fault has been caused in so far."""

    @abstractmethod
    def lift(self) -> None:
        """Ends the plan. Idempotent.

        Calls, events or data that the plan holds back go on at once. Plans of `Faults` can be
        lifted in any thread. A plan of a `Network` in this process must be lifted in the thread of
        the emulator's event loop.
        """

    def __enter__(self) -> Plan:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        try:
            self.lift()
        except ConnectionError:
            # An error of the block is kept, because it says what failed in the test.
            if error is None:
                raise


class LocalPlan(Plan):
    """A fault plan in force in this process."""

    @property
    @abstractmethod
    def over(self) -> bool:
        """True if the plan was lifted, or is used up and holds no call or stream any more."""


Code = grpc.StatusCode | str
"""A gRPC status code, given as `grpc.StatusCode` or by its name."""


class Faults(ABC):
    """Makes an emulated gateway fail, delay or interrupt its calls and streams.

    Most methods return a plan: the instruction to cause one fault. A plan is in force from then on,
    also over restarts of the gateway, until it is used up or lifted:

    - `times` is the number of calls or streams that a plan applies to. With `times=None`, a plan
      applies to all calls or streams until it is lifted.
    - `topic` limits a plan to calls that publish to that topic, and to streams that carry that
      topic. A stream of all topics carries every topic.
    - A plan on streams applies first to the open streams of subscribers, beginning with the oldest,
      and then to new streams. `after` counts the events that a stream sends from the moment at
      which the plan applies to it.

    Several plans can be in force at the same time. If only one of them can act on a call or stream,
    the oldest does.

    The emulator may run in this process (`Emulator`) or in another one (`EmulatorProcess`). The
    methods are the same.

    Example:
        >>> import grpc
        >>> from virtufin.api.emulator import Emulator
        >>> gateway = Emulator()
        >>> plan = gateway.faults.fail("State/GetState", grpc.StatusCode.UNAVAILABLE, times=2)
        >>> stalled = gateway.faults.stall(after=3, topic="prices")
        >>> stalled.lift()
        >>> gateway.faults.clear()

    Every method raises ValueError if a value is out of its range or unknown, and TypeError if a
    value has the wrong type. For an emulator in another process, every method also raises
    ConnectionError if that process does not answer.
    """

    # Faults of calls

    def fail(
        self,
        method: str,
        code: Code,
        *,
        topic: str | None = None,
        times: int | None = 1,
        details: str = "",
    ) -> Plan:
        """Fails the next calls of a method. The gateway does nothing else for these calls.

        Args:
            method: `"State/GetState"`, `"virtufin.State/GetState"`, or `"*"` for any method of
                the gateway's own services. Methods of health checks and reflection can be named
                (`"grpc.health.v1.Health/Check"`), but `"*"` does not include them.
            code: Status of the failure. OK is rejected.
            topic: Topic of the calls to fail. Only for methods that name a topic, such as
                `Pubsub/PublishEvent` and `Pubsub/Subscribe`. None means any call.
            times: Number of calls to fail, at least 1. None means all until the plan is lifted.
            details: Status text. If omitted, a text that names the method.
        """
        name = to_status_code(code).name
        return self.add(Spec("fail", method, topic, times, code=name, details=details))

    def delay(
        self, method: str, seconds: float, *, topic: str | None = None, times: int | None = 1
    ) -> Plan:
        """Delays the next calls of a method before the gateway carries them out.

        When the plan is lifted, delayed calls go on at once.

        Args:
            method: Name of the method, as for `fail`.
            seconds: Delay of each call in seconds, above 0.
            topic: Topic of the calls to delay, as for `fail`. None means any call.
            times: Number of calls to delay. None means all until the plan is lifted.
        """
        return self.add(Spec("delay", method, topic, times, seconds=seconds))

    # Faults of streams

    def cut_streams(
        self,
        code: Code = grpc.StatusCode.UNAVAILABLE,
        *,
        topic: str | None = None,
        details: str = "",
    ) -> int:
        """Ends every open stream of a subscriber at once. Events that were not sent yet are lost.

        No plan is left: streams that are opened later are not affected.

        Args:
            code: Status that the streams end with. OK is a clean end.
            topic: Topic of the streams to end. None means all streams.
            details: Status text. If omitted, a text that names the fault plan as the cause.

        Returns:
            The number of streams that were ended.
        """
        if topic is not None:
            require_text(topic, "topic")
        return self._cut(
            to_status_code(code).name, topic, require_text(details, "details", empty=True)
        )

    def cut_after(
        self,
        events: int,
        code: Code = grpc.StatusCode.UNAVAILABLE,
        *,
        topic: str | None = None,
        times: int | None = 1,
        details: str = "",
    ) -> Plan:
        """Ends streams after they have sent a number of events.

        Args:
            events: Number of events. 0 ends a stream right after its response headers.
            code: Status that the streams end with. OK is a clean end.
            topic: Topic of the streams to end. None means any stream.
            times: Number of streams to end. None means all until the plan is lifted.
            details: Status text. If omitted, a text that names the fault plan as the cause.
        """
        name = to_status_code(code).name
        spec = Spec("cut", topic=topic, times=times, code=name, details=details, after=events)
        return self.add(spec)

    def fail_write(
        self,
        code: Code = grpc.StatusCode.INTERNAL,
        *,
        after: int = 0,
        topic: str | None = None,
        times: int | None = 1,
        details: str = "",
    ) -> Plan:
        """Ends streams when they try to send an event. That event is lost.

        Args:
            code: Status that the streams end with. OK is rejected.
            after: Number of events that a stream sends before the failure.
            topic: Topic of the streams to end. None means any stream.
            times: Number of streams to end. None means all until the plan is lifted.
            details: Status text. If omitted, a text that names the fault plan as the cause.
        """
        name = to_status_code(code).name
        spec = Spec("fail_write", topic=topic, times=times, code=name, details=details, after=after)
        return self.add(spec)

    def stall(self, *, after: int = 0, topic: str | None = None, times: int | None = 1) -> Plan:
        """Makes streams stay open and send nothing more.

        Gateways that drop idle subscriptions behave like this. When the plan is lifted, the events
        that wait are sent.

        Args:
            after: Number of events that a stream sends before it stalls.
            topic: Topic of the streams to stall. None means any stream.
            times: Number of streams to stall. None means all until the plan is lifted.
        """
        return self.add(Spec("stall", topic=topic, times=times, after=after))

    def slow_writes(
        self, seconds: float, *, topic: str | None = None, times: int | None = 1
    ) -> Plan:
        """Makes streams wait before each event that they send.

        Args:
            seconds: Wait before each event in seconds, above 0.
            topic: Topic of the streams to slow down. None means any stream.
            times: Number of streams to slow down. None means all until the plan is lifted.
        """
        return self.add(Spec("slow_writes", topic=topic, times=times, seconds=seconds))

    def hold_headers(self, *, topic: str | None = None, times: int | None = 1) -> Plan:
        """Makes new streams send their response headers only with their first event.

        Open streams are not affected. When the plan is lifted, headers that wait are sent at once.

        Args:
            topic: Topic of the streams to affect. None means any stream.
            times: Number of streams to affect. None means all until the plan is lifted.
        """
        return self.add(Spec("hold_headers", topic=topic, times=times))

    # Abstract, because the same methods act in this process, or send a request to the emulator's
    # process.

    @abstractmethod
    def clear(self) -> None:
        """Lifts all plans of this object."""

    @property
    @abstractmethod
    def open_streams(self) -> int:
        """The number of open streams that carry events to subscribers."""

    @abstractmethod
    def add(self, spec: Spec) -> Plan:
        """Puts a plan into force and returns it. The methods above call this method.

        Args:
            spec: The content of the plan.
        """

    @abstractmethod
    def _cut(self, code: str, topic: str | None, details: str) -> int:
        """Ends open streams and returns their number, as `cut_streams` describes."""
