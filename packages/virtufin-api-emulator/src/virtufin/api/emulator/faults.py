"""Fault plans: what goes wrong in calls and streams, on purpose."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import grpc

from virtufin.api.client._validation import LARGEST
from virtufin.api.emulator._validation import seconds as duration
from virtufin.api.emulator._validation import text, whole

__all__ = ["Code", "Faults", "Plan"]

CALL_ACTIONS = ("fail", "delay")
"""What plans do to calls as they come in."""
STREAM_ACTIONS = ("cut", "fail_write", "stall", "slow_writes", "hold_headers")
"""What plans do to subscribing streams, whatever their method."""
STREAMING = "Pubsub/Subscribe"
ANY = "*"
_WITH_TOPIC = (
    "Pubsub/PublishEvent",
    STREAMING,
    "Gateway/Subscribe",
    "Dapr/PublishEvent",
    "Dapr/BulkPublishEventAlpha1",
)


def short(full_name: str) -> str:
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


@dataclass(frozen=True)
class Spec:
    """One fault plan; only plain values, so that it can be sent to another process.

    Raises:
        ValueError: A value is out of its range, or does not go with the others.
        TypeError: A value has the wrong type.
    """

    action: str
    method: str = STREAMING
    topic: str | None = None
    times: int | None = 1
    code: str = "UNAVAILABLE"
    details: str = ""
    after: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.action not in (*CALL_ACTIONS, *STREAM_ACTIONS):
            raise ValueError(f"unknown action {self.action!r}")
        text(self.method, "method", empty=True)
        if self.times is not None:
            whole(self.times, "times", 1)
        text(self.details, "details", empty=True)
        whole(self.after, "after", 0, LARGEST)
        code = status_code(self.code)
        if code is grpc.StatusCode.OK and self.action in ("fail", "fail_write"):
            raise ValueError("OK is no failure")
        if self.topic is not None:
            text(self.topic, "topic")
            if self.method != ANY and short(self.method.removeprefix("/")) not in _WITH_TOPIC:
                raise ValueError(
                    f"topic goes with {' and '.join(_WITH_TOPIC)}, not with {self.method!r}"
                )
        if self.action in ("delay", "slow_writes"):
            duration(self.seconds, "seconds")

    @property
    def status(self) -> grpc.StatusCode:
        """The status that it ends calls or streams with."""
        return status_code(self.code)


class Plan(ABC):
    """A fault plan in force, until it is used up or lifted.

    In a `with` block it is lifted at the end. Of one in another process, `used` and `lift` raise
    ConnectionError when that does not answer; the end of a `with` block does so only where nothing
    else was raised.

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
        """How many calls, streams or connections it has taken hold of."""

    @abstractmethod
    def lift(self) -> None:
        """Ends it: what it holds back goes on. Does nothing the second time.

        Plans of `Faults` can be lifted from any thread; one of a `Network` in this process only
        where its event loop runs.
        """

    def __enter__(self) -> Plan:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        try:
            self.lift()
        except ConnectionError:
            if error is None:
                raise


class LocalPlan(Plan):
    """A plan in force in this process."""

    @property
    @abstractmethod
    def over(self) -> bool:
        """Whether it takes hold of nothing more and holds nothing."""


Code = grpc.StatusCode | str
"""A status, as `grpc.StatusCode` or by name."""


class Faults(ABC):
    """What goes wrong in the calls and streams of one gateway; survives its restart.

    The same verbs work in the gateway's process and from another one. Each plan takes hold of
    `times` calls or streams, and with `times=None` of all until it is lifted. Plans on streams
    (Subscribe) take hold of the streams that are open, the oldest first, and then of those that
    are opened; `after` counts the events sent since. With `topic` a plan meets only streams that
    carry that topic, or all topics, and calls that publish to it. Plans add up; where only one can
    win, the oldest does.

    Example:
        >>> import grpc
        >>> from virtufin.api.emulator import Emulator
        >>> gateway = Emulator()
        >>> plan = gateway.faults.fail("State/GetState", grpc.StatusCode.UNAVAILABLE, times=2)
        >>> stalled = gateway.faults.stall(after=3, topic="prices")
        >>> stalled.lift()
        >>> gateway.faults.clear()

    Every verb raises ValueError where a value is out of range or unknown, and TypeError where it
    has the wrong type.
    """

    # Calls

    def fail(
        self,
        method: str,
        code: Code,
        *,
        topic: str | None = None,
        times: int | None = 1,
        details: str = "",
    ) -> Plan:
        """Fails the next calls of a method, before anything of them is carried out.

        Args:
            method: `"State/GetState"`, `"virtufin.State/GetState"`, or `"*"` for any method of
                the gateway's own services. Health and reflection can be named, too
                (`"grpc.health.v1.Health/Check"`), and are not part of `"*"`.
            code: The status; not OK.
            topic: Only calls about this topic (`Pubsub/PublishEvent`, `Pubsub/Subscribe`, and
                `Gateway/Subscribe` of earlier gateways).
            times: How many calls, from 1 up; None for all until the plan is lifted.
            details: The status text; a default names the method.
        """
        name = status_code(code).name
        return self.add(Spec("fail", method, topic, times, code=name, details=details))

    def delay(
        self, method: str, seconds: float, *, topic: str | None = None, times: int | None = 1
    ) -> Plan:
        """Holds the next calls of a method back before they are carried out.

        Args:
            method: As for `fail`.
            seconds: How long, above 0. Lifting the plan lets them go on at once.
            topic: Only calls about this topic.
            times: How many calls; None for all until the plan is lifted.
        """
        return self.add(Spec("delay", method, topic, times, seconds=seconds))

    # Streams

    def cut_streams(
        self,
        code: Code = grpc.StatusCode.UNAVAILABLE,
        *,
        topic: str | None = None,
        details: str = "",
    ) -> int:
        """Ends every open Subscribe stream at once; what it had not sent yet is lost.

        Args:
            code: The status the streams end with; OK is a clean end.
            topic: Only streams that carry this topic.
            details: The status text.

        Returns:
            How many streams there were.
        """
        if topic is not None:
            text(topic, "topic")
        return self._cut(status_code(code).name, topic, text(details, "details", empty=True))

    def cut_after(
        self,
        events: int,
        code: Code = grpc.StatusCode.UNAVAILABLE,
        *,
        topic: str | None = None,
        times: int | None = 1,
        details: str = "",
    ) -> Plan:
        """Ends streams once they have sent so many events.

        Args:
            events: How many; 0 ends a stream right after its response headers.
            code: The status they end with; OK is a clean end.
            topic: Only streams that carry this topic.
            times: How many streams; None for all until the plan is lifted.
            details: The status text.
        """
        name = status_code(code).name
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
        """Ends streams when they are to send an event, which is lost.

        Args:
            code: The status they end with; not OK.
            after: Events that are sent before.
            topic: Only streams that carry this topic.
            times: How many streams; None for all until the plan is lifted.
            details: The status text.
        """
        name = status_code(code).name
        spec = Spec("fail_write", topic=topic, times=times, code=name, details=details, after=after)
        return self.add(spec)

    def stall(self, *, after: int = 0, topic: str | None = None, times: int | None = 1) -> Plan:
        """Lets streams send nothing more, though they stay open, as gateways that sweep do.

        What waits is sent when the plan is lifted.

        Args:
            after: Events that are sent before.
            topic: Only streams that carry this topic.
            times: How many streams; None for all until the plan is lifted.
        """
        return self.add(Spec("stall", topic=topic, times=times, after=after))

    def slow_writes(
        self, seconds: float, *, topic: str | None = None, times: int | None = 1
    ) -> Plan:
        """Lets streams wait before each event they send.

        Args:
            seconds: How long, above 0.
            topic: Only streams that carry this topic.
            times: How many streams; None for all until the plan is lifted.
        """
        return self.add(Spec("slow_writes", topic=topic, times=times, seconds=seconds))

    def hold_headers(self, *, topic: str | None = None, times: int | None = 1) -> Plan:
        """Lets the next streams send their response headers with their first event only.

        Lifting the plan sends them at once.

        Args:
            topic: Only streams that carry this topic.
            times: How many streams; None for all until the plan is lifted.
        """
        return self.add(Spec("hold_headers", topic=topic, times=times))

    # All

    @abstractmethod
    def clear(self) -> None:
        """Lifts all plans."""

    @property
    @abstractmethod
    def open_streams(self) -> int:
        """How many subscribing streams are open."""

    @abstractmethod
    def add(self, spec: Spec) -> Plan:
        """Puts a plan into force; what the verbs above call."""

    @abstractmethod
    def _cut(self, code: str, topic: str | None, details: str) -> int:
        """See `cut_streams`."""
