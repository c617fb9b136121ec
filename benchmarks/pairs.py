"""Interleaved runs of two ways to do one thing: on a shared machine only their ratio means much."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field

Run = Callable[[], Awaitable[int]]
"""A run, which returns how many units it did: calls, events, ..."""


@dataclass
class Bound:
    """A bound of a ratio, which a row must keep."""

    measure: str
    """`cpu` and `wall` are ours divided by the peer's; `rate` is the peer's wall by ours."""
    at_most: float | None = None
    at_least: float | None = None

    def holds(self, ratio: float) -> bool:
        """Returns whether a ratio keeps the bound, as printed with two digits."""
        ratio = round(ratio, 2)
        above = self.at_least is None or ratio >= self.at_least
        return above and (self.at_most is None or ratio <= self.at_most)

    def __str__(self) -> str:
        return f"≤ {self.at_most:g}" if self.at_most is not None else f"≥ {self.at_least:g}"


@dataclass
class Row:
    """A thing to do, the two ways, and what was measured of each in turn."""

    subject: str
    what: str
    peer: str
    ours: str
    unit: str = "call"
    bounds: list[Bound] = field(default_factory=list)
    wall: list[tuple[float, float]] = field(default_factory=list)
    """Seconds a unit of the peer and of ours, for each round."""
    cpu: list[tuple[float, float]] = field(default_factory=list)
    """Seconds of processor time a unit, of the process that is measured."""
    note: str = ""

    def ratios(self, measure: str) -> list[float]:
        """Returns the ratio of each round."""
        if measure == "rate":
            return [peer / ours for peer, ours in self.wall]
        return [ours / peer for peer, ours in getattr(self, measure)]

    def ratio(self, measure: str) -> float:
        """Returns the median of the ratios."""
        return statistics.median(self.ratios(measure))

    def spread(self, measure: str) -> tuple[float, float]:
        """Returns the quartiles of the ratios."""
        ratios = self.ratios(measure)
        if len(ratios) < 2:
            return ratios[0], ratios[0]
        first, _, third = statistics.quantiles(ratios, n=4, method="inclusive")
        return first, third

    def median(self, measure: str, side: int) -> float:
        """Returns the seconds a unit of the peer (side 0) or of ours (side 1)."""
        return statistics.median(pair[side] for pair in getattr(self, measure))

    def as_dict(self) -> dict[str, object]:
        """Returns what was measured, and what comes of it."""
        measures = [bound.measure for bound in self.bounds]
        return {
            **asdict(self),
            "ratios": {
                m: round(self.ratio(m), 3) for m in dict.fromkeys(("wall", "cpu", *measures))
            },
            "holds": {
                bound.measure: bound.holds(self.ratio(bound.measure)) for bound in self.bounds
            },
        }


@dataclass
class Series:
    """A cost that grows with the work: one line for each way."""

    subject: str
    what: str
    x: str
    y: str
    lines: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    logarithmic: bool = True

    def as_dict(self) -> dict[str, object]:
        """Returns the points."""
        return asdict(self)


async def compare(
    row: Row,
    peer: Run,
    ours: Run,
    *,
    rounds: int,
    cpu: Callable[[int], float] = lambda _side: time.process_time(),
) -> Row:
    """Runs both in turn and adds what was measured to the row.

    Args:
        row: The row.
        peer: The run to compare with.
        ours: The run of this SDK.
        rounds: How often each runs, after a run of each that is not counted.
        cpu: Processor time of a side's process so far; by default that of this process.
    """
    await peer()
    await ours()
    sides = (peer, ours)
    for number in range(rounds):
        wall, used = [0.0, 0.0], [0.0, 0.0]
        # In the other order each second time, because the second of two may find a warmer machine.
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            began, start = cpu(side), time.perf_counter()
            count = await sides[side]()
            wall[side] = (time.perf_counter() - start) / count
            used[side] = (cpu(side) - began) / count
            # What the run left behind is not the next run's cost.
            await asyncio.sleep(0.01)
        row.wall.append((wall[0], wall[1]))
        row.cpu.append((used[0], used[1]))
    return row


def in_flight(call: Callable[[], Awaitable[object]], tasks: int, total: int) -> Run:
    """Returns a run of `total` calls by so many tasks."""

    async def run() -> int:
        numbers = iter(range(total))

        async def work() -> None:
            for _ in numbers:
                await call()

        await asyncio.gather(*(work() for _ in range(tasks)))
        return total

    return run
