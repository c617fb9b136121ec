"""What a diagnosis says: checks in the order they were made, readable as a table or as data."""

from __future__ import annotations

import textwrap
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

__all__ = ["Check", "Outcome", "Report"]

_WIDTH = 100


class Outcome(str, Enum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    """Something to know; this client works with it."""
    FAILED = "failed"
    """Something that this client cannot work with, or not wholly."""
    SKIPPED = "skipped"
    """Not checked; the text says why."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    """Such as `reflection`."""
    outcome: Outcome
    text: str
    """What was seen."""
    advice: str = ""
    """What to do about it; empty where there is nothing to do."""


@dataclass(frozen=True)
class Report:
    """What a diagnosis of a gateway found. `print` it for a table."""

    target: str
    """Where the gateway is."""
    versions: dict[str, str]
    """Of Python, this client, grpcio and protobuf."""
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether this client can work there: nothing failed."""
        return not any(check.outcome is Outcome.FAILED for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain data that JSON can hold."""
        checks = [{**asdict(check), "outcome": check.outcome.value} for check in self.checks]
        return {
            "target": self.target,
            "ok": self.ok,
            "versions": dict(self.versions),
            "checks": checks,
        }

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        lines = [f"{self.target}  ({versions})", ""]
        names = max((len(check.name) for check in self.checks), default=0)
        outcomes = max((len(check.outcome.value) for check in self.checks), default=0)
        indent = " " * (names + outcomes + 4)
        for check in self.checks:
            head = f"{check.name:{names}}  {check.outcome.value:{outcomes}}  "
            text = f"{check.text} -> {check.advice}" if check.advice else check.text
            lines += textwrap.wrap(text, _WIDTH, initial_indent=head, subsequent_indent=indent) or [
                head.rstrip()
            ]
        verdict = "This client can work there."
        if not self.ok:
            failed = [check.name for check in self.checks if check.outcome is Outcome.FAILED]
            verdict = f"This client cannot work there, or not wholly: {', '.join(failed)}."
        return "\n".join([*lines, "", verdict])
