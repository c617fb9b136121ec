"""Runs the examples of the documentation, one after the other, against an emulator.

The nox session `demo` gives it an environment with all four distributions.
"""

from __future__ import annotations

import ast
import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from _process import STOP_TIMEOUT, emulator_addresses, lines_of, running

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
EXAMPLE_TIMEOUT = 60.0


def examples(wanted: list[str]) -> list[Path]:
    """The example files, all of them or those of these names."""
    rank = {name: number for number, name in enumerate(ORDER)}
    found = sorted(EXAMPLES.glob("*.py"), key=lambda p: (rank.get(p.stem, len(ORDER)), p.stem))
    if unknown := set(wanted) - {path.stem for path in found}:
        sys.exit(f"no such example: {', '.join(sorted(unknown))}")
    return [path for path in found if path.stem in wanted or not wanted]


def title(path: Path) -> str:
    """Returns the first line of an example's docstring."""
    return ast.get_docstring(ast.parse(path.read_text())) or ""


@contextlib.contextmanager
def emulator() -> Iterator[dict[str, str]]:
    """An emulator as a process of its own, also in place of a sidecar; yields how to find it."""
    command = str(Path(sys.executable).with_name("virtufin-emulator"))
    with running([command, "--port", "0", "--dapr-port", "0"], dict(os.environ)) as process:
        try:
            gateway, sidecar = emulator_addresses(process)
        except (RuntimeError, TimeoutError) as error:
            sys.exit(str(error))
        print(f"an emulator of the gateway listens on {gateway},")
        print(f"and in place of a Dapr sidecar on {sidecar}\n")
        host, _, port = gateway.rpartition(":")
        yield {
            "VIRTUFIN_API_HOST": host,
            "VIRTUFIN_API_GRPC_PORT": port,
            "DAPR_GRPC_PORT": sidecar.rpartition(":")[2],
        }


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
