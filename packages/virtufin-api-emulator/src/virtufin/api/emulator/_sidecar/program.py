"""External programs as child processes, which end at the latest with this process.

Between this process and a program is a guard (`orphan_guard`): a small process that ends the
program when this process has ended, even if it was killed.
"""

from __future__ import annotations

import mmap
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_GUARD = Path(__file__).with_name("orphan_guard.py")
_POLL = 0.02
"""Seconds between two checks whether a program is ready."""
# Longer than the guard needs, which itself kills a program that does not end.
_STOP_TIMEOUT = 10.0
# Characters of output in an error text, from its end, because a program reports its failure last.
_SHOWN = 2000
_POSIX = "a real sidecar or Redis is run on Linux and macOS only: stopping one needs POSIX signals"


class MissingProgramError(FileNotFoundError):
    """Raised if a program is not on this machine. The text says how to install the program."""


def find_program(name: str, variable: str, elsewhere: Path | None, advice: str) -> str:
    """Returns the path of a program.

    Args:
        name: Name of the program, searched on PATH.
        variable: Environment variable that may hold the path of the program. If set, PATH is not
            searched.
        elsewhere: Path of the program to try if PATH does not have it. None means no such path.
        advice: Part of the error text that says how to install the program.

    Raises:
        MissingProgramError: The program was not found, or the variable does not name a program
            that can be run.
        NotImplementedError: The machine runs Windows.
    """
    if os.name != "posix":
        raise NotImplementedError(_POSIX)
    if named := os.environ.get(variable):
        if path := shutil.which(named):
            return path
        raise MissingProgramError(f"{variable}={named} names no program that can be run")
    for candidate in (name, elsewhere or name):
        if found := shutil.which(candidate):
            return str(found)
    raise MissingProgramError(f"{name} is not on this machine: {advice}, or set {variable}")


def find_daprd() -> str:
    """Returns the path of `daprd`, from VIRTUFIN_DAPRD, PATH, or the folder of `dapr init`.

    Raises:
        MissingProgramError: `daprd` is not on this machine.
    """
    advice = "install Dapr (`dapr init` puts it into ~/.dapr/bin)"
    return find_program("daprd", "VIRTUFIN_DAPRD", Path.home() / ".dapr/bin/daprd", advice)


def find_redis() -> str:
    """Returns the path of `redis-server`, from VIRTUFIN_REDIS_SERVER or PATH.

    Raises:
        MissingProgramError: `redis-server` is not on this machine.
    """
    advice = "install Redis (package redis-server on Debian and Ubuntu)"
    return find_program("redis-server", "VIRTUFIN_REDIS_SERVER", None, advice)


class Program:
    """A program that was started. It ends with `stop`, or when this process ends for any reason."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str] | None = None, *, folder: str = ""
    ) -> None:
        """Starts the program.

        Args:
            command: Path and arguments of the program.
            env: Environment variables of the program. None means those of this process.
            folder: Folder that the guard deletes if this process ends before the program. Empty
                means none.

        Raises:
            RuntimeError: The program could not be started. The text gives the reason.
            NotImplementedError: The machine runs Windows.
        """
        if os.name != "posix":
            raise NotImplementedError(_POSIX)
        self._name = Path(command[0]).name
        self._output = tempfile.TemporaryFile()  # noqa: SIM115
        # The guard is a process of its own, because nothing in this process runs when it is killed.
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_GUARD), folder, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._output,
            env=None if env is None else dict(env),
            start_new_session=True,
        )
        assert self._guard.stdout is not None
        line = self._guard.stdout.readline()
        if not line:
            said = self.output()
            self.stop()
            raise RuntimeError(f"{self._name} could not be started: {said}")
        self._pid = int(line)

    @property
    def pid(self) -> int:
        """The id of the process of the program."""
        return self._pid

    def output(self) -> str:
        """Returns what the program has written to stdout and stderr so far."""
        if not os.fstat(self._output.fileno()).st_size:
            return ""  # Because an empty file cannot be mapped.
        # Mapped and not read, because a read would move the offset at which the program writes.
        with mmap.mmap(self._output.fileno(), 0, access=mmap.ACCESS_READ) as written:
            return written[:].decode(errors="replace")

    def wait_until(self, ready: Callable[[], bool], timeout: float) -> None:
        """Waits until the program is ready. Ends the program if the wait fails or is interrupted.

        Args:
            ready: Function that returns True if the program is ready. Called again and again.
            timeout: Seconds to wait at most.

        Raises:
            RuntimeError: The program ended, or was not ready in time. The text contains the end of
                its output.
        """
        end = time.monotonic() + timeout
        try:
            while not ready():
                if self._guard.poll() is not None:
                    raise RuntimeError(f"{self._name} ended: {self.output()[-_SHOWN:]}")
                if time.monotonic() > end:
                    text = f"{self._name} was not ready within {timeout:g} s"
                    raise RuntimeError(f"{text}: {self.output()[-_SHOWN:]}")
                time.sleep(_POLL)
        except BaseException:
            self.stop()
            raise

    def kill(self) -> None:
        """Ends the program with SIGKILL and waits for its end."""
        self._signal("SIGKILL")
        self._guard.wait(_STOP_TIMEOUT)
        self.stop()

    def freeze(self) -> None:
        """Freezes the program with SIGSTOP. Its connections stay open, unanswered."""
        self._signal("SIGSTOP")

    def thaw(self) -> None:
        """Continues a frozen program with SIGCONT."""
        self._signal("SIGCONT")

    def stop(self) -> None:
        """Ends the program with SIGTERM (after 5 s with SIGKILL) and waits for it. Idempotent."""
        guard = self._guard
        assert guard.stdin is not None
        assert guard.stdout is not None
        with suppress(BrokenPipeError, ValueError):
            # A byte before the end of the pipe, because a process forked from this one may hold the
            # pipe open.
            guard.stdin.write(b".")
            guard.stdin.flush()
        # Suppressed, because closing writes what is left, and the guard may have ended already.
        with suppress(BrokenPipeError):
            guard.stdin.close()
        try:
            guard.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._signal("SIGKILL")
            guard.wait()
        guard.stdout.close()
        self._output.close()

    def _signal(self, name: str) -> None:
        # Suppressed, because the program may have ended already.
        with suppress(ProcessLookupError):
            # By name, because the module `signal` has no such attributes on Windows.
            os.kill(self._pid, signal.Signals[name])
