"""An emulator in a process of its own, driven from synchronous code."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from virtufin.api.emulator._invocation import require_services
from virtufin.api.emulator._settings import DaprSettings, InvocationPolicy
from virtufin.api.emulator._validation import require_api_keys, require_seconds
from virtufin.api.emulator.faults import Faults
from virtufin.api.emulator.network import Network

from .control_client import ControlClient, RemoteFaults, RemoteNetwork

# Long, because importing grpc is slow on a busy machine.
_START_TIMEOUT = 30.0
# A bound, because a process that is stuck must not hold up the end of a test run.
_STOP_TIMEOUT = 10.0


class EmulatorProcess:
    """An emulator in a process of its own, for synchronous code.

    The pytest fixtures return instances of this class. The process ends with `stop`, at the end of
    a `with` block, or when this process ends for any reason. After that, every method that needs
    the emulator raises ConnectionError.

    Example:
        >>> from virtufin.api.emulator import EmulatorProcess
        >>> with EmulatorProcess(api_keys=["secret"]) as gateway:
        ...     plan = gateway.faults.fail("State/GetState", "UNAVAILABLE")
        ...     gateway.host
        '127.0.0.1'
    """

    def __init__(self, **options: Any) -> None:
        """Starts the process and waits until the emulator listens.

        Args:
            **options: Arguments of `Emulator`. `wire` must be given by name.

        Raises:
            RuntimeError: The emulator did not start, or not within 30 s. The text contains its
                stderr, which names a wrong value of an option.
            TypeError: An option has a type that cannot be sent to another process.
        """
        settings = _to_json(options)
        self._dapr_address = ""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "virtufin.api.emulator", "--piped", "--control-port", "0"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            # A session of its own, because Ctrl-C in the terminal is meant for the tests. The
            # emulator ends when they end.
            start_new_session=True,
        )
        try:
            self._send_settings(settings)
            self._target = self._read_line("listening on ")
            if options.get("dapr_port") is not None:
                self._dapr_address = self._read_line("dapr on ")
            control = self._read_line("control on ")
        except BaseException:
            self._end()
            raise
        self.control = ControlClient(control, f"the emulator process {self.pid}")
        """The connection to the control service of the process."""
        self._faults = RemoteFaults(self.control)
        self._network = RemoteNetwork(self.control)

    @property
    def host(self) -> str:
        """The host that the gateway listens on."""
        return self._target.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port of the gateway."""
        return int(self._target.rpartition(":")[2])

    @property
    def target(self) -> str:
        """The target for a gRPC channel, such as `127.0.0.1:40123`."""
        return self._target

    @property
    def dapr_address(self) -> str:
        """The address of the stand-in for a Dapr sidecar, for `DaprPublisher(address=)`.

        Raises:
            RuntimeError: The emulator has no stand-in, because `dapr_port` was not given.
        """
        if not self._dapr_address:
            raise RuntimeError("standing in for a Dapr sidecar needs dapr_port=0")
        return self._dapr_address

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    @property
    def faults(self) -> Faults:
        """The object that causes faults of calls and streams."""
        return self._faults

    @property
    def network(self) -> Network:
        """The object that causes faults of connections.

        Its methods raise RuntimeError if the emulator was started without `relay=True`.
        """
        return self._network

    def reset(self) -> None:
        """Deletes state and registered keys, lifts all plans, and resets the sample backends.

        Raises:
            ConnectionError: The process does not answer because it has ended.
            OSError: The Dapr sidecar did not delete the state.
        """
        self.control.do("reset")

    def restart(self, away: float = 0.0) -> None:
        """Stops the gateway, starts it again on the same port, and waits until calls are served.

        From async code: `await asyncio.to_thread(gateway.restart, away=2.0)`.

        Args:
            away: Seconds between stop and start, at least 0. Connections are refused in this time.

        Raises:
            ValueError: `away` is out of its range.
            TypeError: `away` is not a number.
            ConnectionError: The process does not answer because it has ended.
            OSError: The port could not be opened again.
        """
        require_seconds(away, "away", zero=True)
        self.control.do("restart", away=away, patience=away)

    def stop(self) -> None:
        """Ends the process. Idempotent."""
        self.control.close()
        self._end()

    def __enter__(self) -> EmulatorProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<EmulatorProcess {self._target}, process {self.pid}>"

    def _send_settings(self, settings: bytes) -> None:
        assert self._process.stdin is not None
        # Suppressed, because the process has already ended then, and `_read_line` raises the
        # reason.
        with suppress(BrokenPipeError):
            self._process.stdin.write(settings + b"\n")
            self._process.stdin.flush()

    def _read_line(self, prefix: str) -> str:
        """Reads the next line of the process's stdout and returns the text after `prefix`.

        Raises:
            RuntimeError: The process has ended, has written another line, or no line within 30 s.
        """
        stdout = self._process.stdout
        assert stdout is not None
        lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        # A thread, because reading from a pipe has no timeout. The thread ends with the line or
        # the process.
        threading.Thread(target=lambda: lines.put(stdout.readline()), daemon=True).start()
        try:
            line = lines.get(timeout=_START_TIMEOUT).decode().strip()
        except queue.Empty:
            raise RuntimeError(f"the emulator said nothing for {_START_TIMEOUT} s") from None
        if not line.startswith(prefix):
            self._process.wait(_STOP_TIMEOUT)
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace").strip()
            raise RuntimeError(f"the emulator did not start: {said or line}")
        return line.removeprefix(prefix)

    def _end(self) -> None:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        # Suppressed, because the process may have ended before it read all of its input.
        with suppress(BrokenPipeError):
            process.stdin.close()
        # The closed pipe is not enough, because a process forked from this one may hold it open.
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        self._errors.close()


def _to_json(options: dict[str, Any]) -> bytes:
    """Converts options of `Emulator` to a line of JSON for the process, which checks the values.

    Raises:
        TypeError: An option has a type that cannot be sent.
    """
    settings = dict(options)
    if settings.get("services") is not None:
        settings["services"] = [
            asdict(service) for service in require_services(settings["services"])
        ]
    if settings.get("invocation") is not None:
        if not isinstance(settings["invocation"], InvocationPolicy):
            raise TypeError(
                f"invocation is an InvocationPolicy or None, got {settings['invocation']!r}"
            )
        settings["invocation"] = asdict(settings["invocation"])
    if settings.get("dapr") is not None:
        if not isinstance(settings["dapr"], DaprSettings):
            raise TypeError(f"dapr is a DaprSettings or None, got {settings['dapr']!r}")
        settings["dapr"] = asdict(settings["dapr"])
    if "api_keys" in settings:
        settings["api_keys"] = require_api_keys(settings["api_keys"])
    for name, value in settings.items():
        if not isinstance(value, (str, int, float, list, tuple, dict, type(None))):
            raise TypeError(f"{name} cannot be handed over to another process: {value!r}")
    return json.dumps(settings).encode()
