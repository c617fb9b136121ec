"""Fault plans: failures of calls and streams that a test causes on purpose."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import grpc

from virtufin.api.client._validation import LARGEST
from virtufin.api.emulator._validation import require_seconds, require_text, require_whole

__all__ = ["Code", "Faults", "Plan"]

CALL_ACTIONS = ("fail", "delay")
"""Actions on calls, carried out when a call arrives."""
STREAM_ACTIONS = ("cut", "fail_write", "stall", "slow_writes", "hold_headers")
"""Actions on subscribing streams, regardless of their method."""
STREAMING = "Pubsub/Subscribe"
ANY = "*"
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
    """Returns a full method name without its package: `State/GetState`."""
    service, _, method = full_name.partition("/")
    return f"{service.rpartition('.')[2]}/{method}"


def to_status_code(code: grpc.StatusCode | str) -> grpc.StatusCode:
    """Returns the gRPC status for a status or the name of a status.

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
    """The description of one fault plan.

    All fields are plain values, so that a plan can be sent to another process.

    Raises:
        ValueError: A value is out of its range, or does not fit the other values.
        TypeError: A value has the wrong type.
    """

    action: str
    method: str = STREAMING
    topic: str | None = None
    times: int | None = 1
    # The name, not the status: the control service sends a plan as JSON.
    code: str = "UNAVAILABLE"
    details: str = ""
    after: int = 0
    seconds: float = 0.0

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
        """The status with which the plan ends calls or streams."""
        return to_status_code(self.code)


class Plan(ABC):
    """A fault plan in force, until it is used up or lifted.

    The end of a `with` block lifts the plan.

    If the plan is in another process and that process does not answer, `used` and `lift` raise
    ConnectionError. The end of a `with` block raises ConnectionError only if the block raised
    nothing.

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
        """The number of calls, streams or connections that the plan has been applied to."""

    @abstractmethod
    def lift(self) -> None:
        """Ends the plan and releases the calls, events or data that it holds back. Idempotent.

        Plans of `Faults` can be lifted from any thread. A plan of a `Network` in this process
        must be lifted in the thread of its event loop.
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
    """A plan in force in this process."""

    @property
    @abstractmethod
    def over(self) -> bool:
        """True if the plan applies to nothing more and holds nothing back."""


Code = grpc.StatusCode | str
"""A gRPC status, given as `grpc.StatusCode` or by name."""


class Faults(ABC):
    """The faults in the calls and streams of one gateway. Faults survive its restart.

    The same methods work in the gateway's process and from another process.

    Each plan applies to `times` calls or streams. With `times=None` a plan applies to all calls or
    streams until the plan is lifted.

    Plans on streams (Subscribe) apply first to the open streams, the oldest first, and then to new
    streams. `after` counts the events that a stream sends from the moment the plan applies to it.

    With `topic`, a plan applies only to streams that carry that topic or all topics, and to calls
    that publish to that topic.

    Several plans can be in force at the same time. If only one of them can apply, the oldest does.

    Example:
        >>> import grpc
        >>> from virtufin.api.emulator import Emulator
        >>> gateway = Emulator()
        >>> plan = gateway.faults.fail("State/GetState", grpc.StatusCode.UNAVAILABLE, times=2)
        >>> stalled = gateway.faults.stall(after=3, topic="prices")
        >>> stalled.lift()
        >>> gateway.faults.clear()

    Every method raises ValueError if a value is out of its range or unknown, and TypeError if a
    value has the wrong type.
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
        """Fails the next calls of a method before the gateway carries out any part of them.

        Args:
            method: `"State/GetState"`, `"virtufin.State/GetState"`, or `"*"` for any method of
                the gateway's own services. Methods of health and reflection can be named
                (`"grpc.health.v1.Health/Check"`), but `"*"` does not include them.
            code: Status of the failure. OK is rejected.
            topic: Topic of the calls to fail (`Pubsub/PublishEvent`, `Pubsub/Subscribe`, and
                `Gateway/Subscribe` of earlier gateways). None means any call.
            times: Number of calls to fail, at least 1. None means all until the plan is lifted.
            details: Status text. The default text names the method.
        """
        name = to_status_code(code).name
        return self.add(Spec("fail", method, topic, times, code=name, details=details))

    def delay(
        self, method: str, seconds: float, *, topic: str | None = None, times: int | None = 1
    ) -> Plan:
        """Delays the next calls of a method before the gateway carries them out.

        Lifting the plan releases the delayed calls at once.

        Args:
            method: Name of the method, as for `fail`.
            seconds: Delay of each call in seconds, above 0.
            topic: Topic of the calls to delay. None means any call.
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
        """Ends every open Subscribe stream at once. Events that were not sent yet are lost.

        Args:
            code: Status that the streams end with. OK is a clean end.
            topic: Topic of the streams to end. None means all streams.
            details: Status text.

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
            details: Status text.
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
            details: Status text.
        """
        name = to_status_code(code).name
        spec = Spec("fail_write", topic=topic, times=times, code=name, details=details, after=after)
        return self.add(spec)

    def stall(self, *, after: int = 0, topic: str | None = None, times: int | None = 1) -> Plan:
        """Makes streams stay open without sending anything more.

        Gateways that drop idle subscriptions behave like this. Lifting the plan sends the events
        that are waiting.

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
        """Makes the next streams send their response headers only with their first event.

        Lifting the plan sends the headers at once.

        Args:
            topic: Topic of the streams to affect. None means any stream.
            times: Number of streams to affect. None means all until the plan is lifted.
        """
        return self.add(Spec("hold_headers", topic=topic, times=times))

    # Abstract, because the same methods act in this process, or send a request to the emulator's
    # process.

    @abstractmethod
    def clear(self) -> None:
        """Lifts all plans."""

    @property
    @abstractmethod
    def open_streams(self) -> int:
        """The number of open subscribing streams."""

    @abstractmethod
    def add(self, spec: Spec) -> Plan:
        """Puts a plan into force. The methods above call this one."""

    @abstractmethod
    def _cut(self, code: str, topic: str | None, details: str) -> int:
        """Ends the open streams, as `cut_streams` describes."""
