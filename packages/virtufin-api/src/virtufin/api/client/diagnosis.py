"""The report of a diagnosis: checks in the order they were made, as a table or as data."""

from __future__ import annotations

import textwrap
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

__all__ = ["Check", "Outcome", "Report"]

# Wrapped, because the texts of checks are longer than a line of a terminal.
_WIDTH = 100


class Outcome(str, Enum):
    """The outcome of a check."""

    OK = "ok"
    WARNING = "warning"
    """A finding that needs attention; this client works in spite of it."""
    FAILED = "failed"
    """A finding that prevents this client from working fully, or at all."""
    SKIPPED = "skipped"
    """The check was not made; the text has the reason."""

    def __str__(self) -> str:
        # Defined here, because `str` of such a member is `Outcome.OK`, and StrEnum needs 3.11.
        return self.value


@dataclass(frozen=True)
class Check:
    """The result of one check of a diagnosis."""

    name: str
    """The name of the check, such as `reflection`."""
    outcome: Outcome
    text: str
    """The finding."""
    advice: str = ""
    """The remedy; empty if nothing needs to be done."""


@dataclass(frozen=True)
class Report:
    """The findings of a diagnosis of a gateway. Use `print` for a table."""

    target: str
    """The address of the gateway."""
    versions: dict[str, str]
    """The versions of Python, this client, grpcio and protobuf."""
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Returns whether this client can work with the gateway: no check failed."""
        return not any(check.outcome is Outcome.FAILED for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """Returns the report as plain data that JSON can hold."""
        # Values, because plain data must not hold enum members.
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
