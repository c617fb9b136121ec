"""Child processes that are read within a time, and have ended when their block has."""

from __future__ import annotations

import contextlib
import queue
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import IO, Any

START_TIMEOUT = 30.0
STOP_TIMEOUT = 5.0


def lines_of(process: subprocess.Popen[str], timeout: float) -> Iterator[str]:
    """The lines a process prints, until it ends; TimeoutError where that takes too long."""
    assert process.stdout is not None
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read(source: IO[str]) -> None:
        with source:
            for line in source:
                lines.put(line.rstrip("\n"))
        lines.put("\0")

    threading.Thread(target=read, args=(process.stdout,), daemon=True).start()
    end = time.monotonic() + timeout
    while True:
        try:
            line = lines.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            raise TimeoutError(f"still running after {timeout:.0f} s") from None
        if line == "\0":
            return
        yield line


@contextlib.contextmanager
def running(command: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A child process that has ended when the block has, whatever happens in it."""
    process = subprocess.Popen(
        command,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Ctrl-C is for this process alone, which ends its children in order.
        start_new_session=True,
    )
    try:
        yield process
    finally:
        end(process, STOP_TIMEOUT)


def end(process: subprocess.Popen[Any], timeout: float) -> None:
    """Ends a process, by force where it does not end itself."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def emulator_addresses(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Returns the addresses of an emulator as a gateway and as a sidecar.

    Raises:
        TimeoutError: The emulator printed no address in time.
        RuntimeError: The emulator ended.
    """
    said: list[str] = []
    for line in lines_of(process, START_TIMEOUT):
        said.append(line)
        if line.startswith("dapr on "):
            return said[0].removeprefix("listening on "), line.removeprefix("dapr on ")
    raise RuntimeError("the emulator did not start:\n" + "\n".join(said))
