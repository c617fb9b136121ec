"""The demo on real parts: DaprPublisher and DaprApp, two sidecars, a Redis, and a gateway.

The nox session `demo` gives it an environment with all four distributions and says where daprd and
Redis are.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from contextlib import ExitStack

from _demo import EXAMPLES, run, title
from _process import START_TIMEOUT, lines_of, running

from virtufin.api.emulator import DaprSettings, EmulatorProcess, sidecar

FOLDER = EXAMPLES / "dapr"


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port: int = reserved.getsockname()[1]
        return port


def main() -> int:
    """Runs the examples; 0 where all did."""
    began = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sidecar.find_daprd()
        sidecar.find_redis()
    except sidecar.MissingProgramError as missing:
        print(f"scripts/demo dapr: {missing}; scripts/real_parts gets it")
        return 1
    with ExitStack() as stack:
        redis = stack.enter_context(sidecar.Redis())
        components = sidecar.redis_components(redis)
        gateway_sidecar = stack.enter_context(sidecar.Sidecar("gateway", components))
        gateway = stack.enter_context(
            EmulatorProcess(dapr=DaprSettings(address=gateway_sidecar.address))
        )
        app_port = free_port()
        app_sidecar = stack.enter_context(sidecar.Sidecar("orders", components, app_port=app_port))
        print(f"Redis listens on {redis.address};")
        print(f"a gateway on {gateway.target}, its daprd on {gateway_sidecar.address};")
        print(f"the daprd of an app on {app_sidecar.address}\n")
        env = {
            **os.environ,
            "VIRTUFIN_API_HOST": gateway.host,
            "VIRTUFIN_API_GRPC_PORT": str(gateway.port),
            "DAPR_GRPC_PORT": str(app_sidecar.grpc_port),
            "APP_PORT": str(app_port),
        }
        app = FOLDER / "app.py"
        print(f"[app] {title(app)}", flush=True)
        process = stack.enter_context(running([sys.executable, "-u", str(app)], env))
        app_sidecar.wait_for_app()
        for name in ("publish_and_receive", "ask"):
            path = FOLDER / f"{name}.py"
            print(f"[{name}] {title(path)}", flush=True)
            if problem := run(path, env):
                print(f"\nscripts/demo dapr: {name} FAILED: {problem}; its output is above")
                return 1
        process.terminate()
        print("[app] what it said until SIGTERM:")
        for line in lines_of(process, START_TIMEOUT):
            print(f"        {line}")
        if process.wait() != 0:
            print(f"\nscripts/demo dapr: the app FAILED: exit code {process.returncode}")
            return 1
    print(f"\nscripts/demo dapr: all ran; {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nscripts/demo dapr: interrupted; nothing is left running")
