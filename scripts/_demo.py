"""Runs the examples of the documentation, one after the other, against an emulator.

The nox session `demo` gives it an environment with all four distributions.
"""

from __future__ import annotations

import ast
import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent.parent / "docs/examples"
# In the order of the reference; others follow.
ORDER = (
    "quick_start",
    "list_services",
    "state_management",
    "subscribe_to_events",
    "pubsub",
    "request_reply",
    "workmanager",
    "websocketmanager",
    "stream_event_handler",
    "dapr_publisher",
    "error_handling",
    "thread_safety",
)
START_TIMEOUT = 30.0
EXAMPLE_TIMEOUT = 60.0
STOP_TIMEOUT = 5.0


def examples(wanted: list[str]) -> list[Path]:
    """The example files, all of them or those of these names."""
    rank = {name: number for number, name in enumerate(ORDER)}
    found = sorted(EXAMPLES.glob("*.py"), key=lambda p: (rank.get(p.stem, len(ORDER)), p.stem))
    if unknown := set(wanted) - {path.stem for path in found}:
        sys.exit(f"no such example: {', '.join(sorted(unknown))}")
    return [path for path in found if path.stem in wanted or not wanted]


def title(path: Path) -> str:
    """What an example says of itself."""
    return ast.get_docstring(ast.parse(path.read_text())) or ""


def lines_of(process: subprocess.Popen[str], timeout: float) -> Iterator[str]:
    """The lines a process prints, until it ends; TimeoutError where that takes too long."""
    assert process.stdout is not None
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read(source: Iterator[str]) -> None:
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
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def emulator() -> Iterator[dict[str, str]]:
    """An emulator as a process of its own, also in place of a sidecar; yields how to find it."""
    command = str(Path(sys.executable).with_name("virtufin-emulator"))
    with running([command, "--port", "0", "--dapr-port", "0"], dict(os.environ)) as process:
        said: list[str] = []
        for line in lines_of(process, START_TIMEOUT):
            said.append(line)
            if line.startswith("dapr on "):
                host, _, port = said[0].removeprefix("listening on ").rpartition(":")
                print(f"an emulator of the gateway listens on {host}:{port},")
                print(f"and in place of a Dapr sidecar on {line.removeprefix('dapr on ')}\n")
                yield {
                    "VIRTUFIN_API_HOST": host,
                    "VIRTUFIN_API_GRPC_PORT": port,
                    "DAPR_GRPC_PORT": line.rpartition(":")[2],
                }
                return
        sys.exit("the emulator did not start:\n" + "\n".join(said))


def run(path: Path, env: dict[str, str]) -> str | None:
    """Runs one example and shows what it prints; returns what went wrong."""
    with running([sys.executable, "-u", str(path)], env) as process:
        try:
            for line in lines_of(process, EXAMPLE_TIMEOUT):
                print(f"        {line}", flush=True)
        except TimeoutError as error:
            return str(error)
        code = process.wait(STOP_TIMEOUT)
    return f"exit code {code}" if code else None


def main() -> int:
    """Runs the examples; 0 where all did."""
    began = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    chosen = examples(sys.argv[1:])
    with emulator() as place:
        env = {**os.environ, **place}
        for number, path in enumerate(chosen, 1):
            print(f"[{number:2}/{len(chosen)}] {path.stem}: {title(path)}", flush=True)
            if problem := run(path, env):
                print(f"\nscripts/demo: {path.stem} FAILED: {problem}; its output is above")
                return 1
    seconds = time.monotonic() - began
    print(f"\nscripts/demo: {len(chosen)} of {len(chosen)} examples ran; {seconds:.0f} s")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nscripts/demo: interrupted; nothing is left running")
