"""Runs checks, some side by side, and ends with what failed and how to repeat it.

`_checks.py test` is what scripts/test runs, `_checks.py ci` what .ci/run does. Each line of a check
stands behind its name, and all that it prints is kept in .nox/logs. Checks in one lane run one
after the other; lanes of one stage run side by side. Standard library only, so that it runs under
any Python from 3.10 on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import _tools
import _venv

USAGE = """\
scripts/test                            lint, types, generated code, documentation, all quick tests
scripts/test --quick                    lint and a part of the tests, in about a minute
scripts/test tests/client -k state      only tests; pytest gets the arguments

`scripts/nox --list` names each check, docs/checks.md says more.
"""
ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / ".nox/logs"
SHOWN_FAILURES = 4
"""The most failed tests at the end of the output: all else must stay within 20 lines."""
WIDTH = "200"
"""Columns for pytest, which cuts the reason of a failure to the width of the terminal."""

_NOISE = re.compile(
    r"nox > (Running session|Creating virtual environment|Re-using existing|uv pip install"
    r"|Session \S+ was successful|python -V|[a-z0-9.-]+==)|bringing up nodes|\s*$"
)
_SUMMARY = re.compile(r"=+ short test summary info =+|=== what scripts/test found$")
_SESSION = re.compile(r"nox > Running session (\S.*)")
_FAILED = re.compile(r"(FAILED|ERROR) (\S+?\.py(?:::.+?)?)(?: - (.*))?$")
_LEFT_OUT = re.compile(r"(?:nox > )?LEFT OUT: (.*)")
_QUIET = re.compile(r"nox > (?!.*(error|missing|not found))", re.IGNORECASE)
_COUNT = re.compile(r"(\d+) (passed|failed|skipped|errors?)\b")
_CLOSING = re.compile(
    r"(=+ )?\d+ (passed|failed|skipped|errors?|deselected).* in [\d.]+s|tests: \d"
)


@dataclasses.dataclass(frozen=True)
class Check:
    """A command of this project, and the name that its lines stand behind."""

    name: str
    command: tuple[str, ...]


@dataclasses.dataclass
class Outcome:
    """The outcome of a check."""

    check: Check
    seconds: float = 0.0
    cpu: float = 0.0
    """Seconds of it and of all processes that it waited for."""
    failed: bool = True
    """Until it has ended well."""
    failures: dict[str, str] = dataclasses.field(default_factory=dict)
    """Failed tests, each with the reason."""
    sessions: dict[str, str] = dataclasses.field(default_factory=dict)
    """The nox session of each of them."""
    left_out: list[str] = dataclasses.field(default_factory=list)
    tests: dict[str, int] = dataclasses.field(default_factory=dict)
    """Numbers of tests that passed, failed and were skipped."""
    end: list[str] = dataclasses.field(default_factory=list)
    """The last lines that the check itself printed."""

    @property
    def log(self) -> Path:
        """The file that keeps all that it prints."""
        return LOGS / (re.sub(r"\W+", "-", self.check.name) + ".log")


class Reader:
    """Reads the output of a check, line by line, into its outcome."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._session = ""
        """The nox session that prints now."""
        self._in_summary = False
        """True within pytest's summary: before it, such lines may be of a nested run."""
        self._last = ""
        """The failed test that was read last."""

    def read(self, line: str) -> None:
        """Notes what a line says."""
        outcome = self._outcome
        if found := _SESSION.match(line):
            self._session = found[1]
        elif _SUMMARY.match(line):
            self._in_summary = True
        elif self._in_summary and (found := _FAILED.match(line)):
            self._last = found[2]
            outcome.failures[self._last] = found[3] or ""
            outcome.sessions[self._last] = self._session
        elif self._last and line.startswith("  ") and not outcome.failures[self._last]:
            # The reason in the summary of a run within this one.
            outcome.failures[self._last] = line.strip()
        elif found := _LEFT_OUT.match(line):
            outcome.left_out.append(found[1])
        elif _CLOSING.match(line):
            self._in_summary, self._last = False, ""
            for number, kind in _COUNT.findall(line):
                kind = "failed" if kind.startswith("error") else kind
                outcome.tests[kind] = outcome.tests.get(kind, 0) + int(number)
        if not _QUIET.match(line) and not _NOISE.match(line):
            outcome.end = [*outcome.end[-3:], line]


Stage = tuple[tuple[Check, ...], ...]
"""Lanes, which run side by side."""


class Run:
    """A run of several checks."""

    def __init__(self, title: str, stages: tuple[Stage, ...]) -> None:
        self.title = title
        self.outcomes: list[Outcome] = []
        self._stages = stages
        self._begin = time.monotonic()
        self._width = max(len(check.name) for stage in stages for lane in stage for check in lane)
        self._printing = threading.Lock()
        self._interrupted = False
        self._running: set[subprocess.Popen[str]] = set()

    def run(self) -> int:
        """Runs everything; returns the exit code."""
        LOGS.mkdir(parents=True, exist_ok=True)
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._interrupt) for number in signals}
        try:
            for stage in self._stages:
                lanes = [threading.Thread(target=self._lane, args=(lane,)) for lane in stage]
                for lane in lanes:
                    lane.start()
                for lane in lanes:
                    lane.join()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        self._summary()
        if self._interrupted:
            return 130
        return 1 if any(outcome.failed for outcome in self.outcomes) else 0

    def _interrupt(self, number: int, frame: object) -> None:
        """Ends the checks that run, as Ctrl-C would, and begins no other."""
        self._interrupted = True
        for process in tuple(self._running):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)

    def _lane(self, checks: tuple[Check, ...]) -> None:
        for check in checks:
            if not self._interrupted:
                self._check(check)

    def _check(self, check: Check) -> None:
        outcome = Outcome(check)
        reader = Reader(outcome)
        self.outcomes.append(outcome)
        begin = time.monotonic()
        env = {**os.environ, "COLUMNS": WIDTH, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}
        for name in ("FORCE_COLOR", "PY_COLORS"):
            env.pop(name, None)
        # Else gRPC's lines about each connection that ends stand between those of the tests.
        env.setdefault("GRPC_VERBOSITY", "ERROR")
        with (
            outcome.log.open("w") as log,
            subprocess.Popen(
                check.command, cwd=ROOT, env=env, text=True, errors="replace",
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                start_new_session=True,  # so that a signal reaches all that it has started
            ) as process,
        ):  # fmt: skip
            assert process.stdout is not None
            self._running.add(process)
            if self._interrupted:
                self._interrupt(signal.SIGINT, None)
            for line in process.stdout:
                log.write(line)
                line = line.rstrip()
                reader.read(line)
                if not _NOISE.match(line):
                    self._say(check.name, line)
            # Instead of process.wait, which does not return the CPU time.
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        self._running.discard(process)
        outcome.failed = process.returncode != 0
        outcome.cpu = usage.ru_utime + usage.ru_stime
        outcome.seconds = time.monotonic() - begin
        word = "FAILED" if outcome.failed else "passed"
        self._say(check.name, f"--- {word} in {outcome.seconds:.0f} s, CPU {outcome.cpu:.0f} s")

    def _say(self, name: str, line: str) -> None:
        with self._printing:
            print(f"{name:>{self._width}} | {line}", flush=True)

    def _summary(self) -> None:
        print(f"\n=== what {self.title.split()[0]} found")
        for outcome in self.outcomes:
            for line in outcome.left_out:
                print(f"left out: {line}")
        failed = [outcome for outcome in self.outcomes if outcome.failed]
        room = SHOWN_FAILURES
        for outcome in failed:
            room -= self._explain(outcome, room)
        total: dict[str, int] = {"passed": 0, "failed": 0, "skipped": 0}
        for outcome in self.outcomes:
            for kind, number in outcome.tests.items():
                total[kind] = total.get(kind, 0) + number
        if any(total.values()):
            print("tests: " + ", ".join(f"{number} {kind}" for kind, number in total.items()))
        minutes, seconds = divmod(round(time.monotonic() - self._begin), 60)
        times = ", ".join(
            f"{outcome.check.name} {outcome.seconds:.0f} ({outcome.cpu:.0f})"
            for outcome in self.outcomes
        )
        print(f"seconds (CPU): {times}")
        verdict = "all passed"
        if self._interrupted:
            verdict = "interrupted"
        elif failed:
            verdict = "FAILED: " + ", ".join(outcome.check.name for outcome in failed)
        print(f"{self.title} took {minutes} min {seconds} s, {verdict}", flush=True)

    def _explain(self, outcome: Outcome, room: int) -> int:
        """Prints why a check failed and how to repeat it; returns how many failures that took."""
        log = outcome.log.relative_to(ROOT)
        if not outcome.failures:
            for line in outcome.end:
                print(f"  {line}")
            print(f"FAILED {outcome.check.name}: all of it is in {log}")
            print(f"  again: {shlex.join(outcome.check.command)}")
            return 1
        shown = dict(list(outcome.failures.items())[: max(room, 1)])
        for test, reason in shown.items():
            print("\n".join(filter(None, (f"FAILED {test}", reason and f"  {reason}"))))
            print(f"  again: {_again(outcome.sessions[test], test)}")
        if more := len(outcome.failures) - len(shown):
            print(f"and {more} more; all of it is in {log}")
        return len(shown)


def _again(session: str, test: str) -> str:
    """The command that repeats a test as it was run."""
    if session in ("", "tests", "quick"):
        return f"scripts/test {shlex.quote(test)}"
    return f"scripts/nox -s {shlex.quote(session)} -- {shlex.quote(test)}"


def nox(name: str, *arguments: str, session: str = "") -> Check:
    """A session of noxfile.py."""
    return Check(name, ("scripts/nox", "-s", session or name, *arguments))


TEST: tuple[Stage, ...] = (
    ((nox("types"),), (nox("lint"), nox("protos"), nox("docs"))),
    ((nox("tests"),),),
)
QUICK: tuple[Stage, ...] = (((nox("lint"),), (nox("quick"),)),)
CI: tuple[Stage, ...] = (
    ((Check("scripts/test", ("scripts/test",)),),),
    # On a new machine these build for a quarter of an hour; afterwards they take no time.
    (
        (
            Check("real parts", ("scripts/real_parts",)),
            Check("newer Pythons", ("scripts/newer_pythons", "--optional")),
        ),
    ),
    (
        # What computes beside what mostly waits.
        (
            nox("rows"),
            nox("wires"),
            nox("generator", "--", "--strict", session="protos"),
        ),
        (
            nox("dapr"),
            nox("heavy"),
            nox("packaging"),
            nox("rehearsal", session="release_rehearsal"),
            nox("demo"),
            nox("demo dapr", "--", "dapr", session="demo"),
        ),
    ),
    ((nox("alone"), nox("coverage")),),
)


def main() -> int:
    """Runs the checks that the command line names."""
    what, *arguments = sys.argv[1:]
    if {"-h", "--help"} & {*arguments}:
        print(USAGE)
        return 0
    if what == "ci":
        run = Run(".ci/run", CI)
    elif arguments == ["--quick"]:
        run = Run("scripts/test --quick", QUICK)
    elif arguments and sys.stdin.isatty():
        # A person, who may want a debugger: pytest gets the terminal.
        command = ["scripts/nox", "-s", "tests", "--", *arguments]
        return subprocess.run(command, cwd=ROOT, check=False).returncode
    elif arguments:
        run = Run("scripts/test", (((nox("tests", "--", *arguments),),),))
    else:
        run = Run("scripts/test", TEST)
    with _tools.alone():
        return run.run()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except _venv.SetupError as error:
        sys.exit(str(error))
