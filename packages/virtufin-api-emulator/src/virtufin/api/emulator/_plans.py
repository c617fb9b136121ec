"""Fault plans as data: what is to go wrong, and when; and the handle of one that is in force."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import grpc

from virtufin.api.client._validation import LARGEST
from virtufin.api.emulator._checks import seconds as duration
from virtufin.api.emulator._checks import text, whole

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
