"""A real Dapr sidecar and a real Redis for tests.

Nothing is simulated. `daprd` and `redis-server` are found on this machine and run as processes of
their own, on free ports of 127.0.0.1, with files in a temporary folder. They end at the latest when
this process ends for any reason. No other part of Dapr is needed (no placement, no scheduler, no
containers).

Example:
    >>> from virtufin.api.emulator import sidecar
    >>> def publish_for_real() -> None:
    ...     with sidecar.Redis() as redis:
    ...         components = sidecar.redis_components(redis)
    ...         with sidecar.Sidecar("my-app", components) as dapr:
    ...             print(dapr.address)
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from virtufin.api.emulator._ports import ReservedPort
from virtufin.api.emulator._sidecar import (
    MissingProgramError,
    Program,
    component,
    find_daprd,
    find_redis,
    make_redelivery_policy,
    read_component_names,
)
from virtufin.api.emulator._validation import require_items, require_text, require_whole

__all__ = [
    "MissingProgramError",
    "Redis",
    "Sidecar",
    "component",
    "find_daprd",
    "find_redis",
    "redis_components",
]

_HOST = "127.0.0.1"
# Long, because programs start slowly on a busy machine.
_START_TIMEOUT = 30.0
# A bound, because a program that is still starting may accept a connection without answering.
_PROBE_TIMEOUT = 2.0
_OK_STATUSES = range(200, 300)


def redis_components(
    redis: Redis,
    *,
    pubsub_name: str = "pubsub",
    store_name: str = "statestore",
    pubsub_metadata: Mapping[str, str] | None = None,
) -> list[str]:
    """Returns resource files for a pub/sub component and a state store on one Redis.

    Events that an app has not acknowledged after a second, or rejects with RETRY, are delivered
    again without limit. Hundreds of topics are possible (`poolSize`). All app-ids share the state.

    Args:
        redis: The Redis server. It must run while a sidecar uses the components.
        pubsub_name: Name of the pub/sub component.
        store_name: Name of the state store component.
        pubsub_metadata: Further settings of the pub/sub component, which override the settings of
            this function. None means no further settings.

    Returns:
        Three texts for `Sidecar(resources=)`: the two components, and a resiliency policy.

    Raises:
        ValueError: `processingTimeout` is not a whole number of milliseconds.
    """
    connection = {"redisHost": redis.address, "redisPassword": ""}
    pubsub = {
        **connection,
        # In milliseconds, because Dapr 1.18 ignores this interval when it is written as "1s".
        "processingTimeout": "1000",
        "redeliverInterval": "500",
        # Each topic takes a connection, and the default is ten connections per CPU. When they are
        # used up, even publishing hangs.
        "poolSize": "1000",
        **(pubsub_metadata or {}),
    }
    # `name`, because Dapr's default prefix is the app-id, which would separate the replicas' state.
    store = {**connection, "keyPrefix": "name"}
    return [
        component(pubsub_name, "pubsub.redis", pubsub),
        component(store_name, "state.redis", store),
        make_redelivery_policy(pubsub_name, pubsub["processingTimeout"]),
    ]


class _Part(ABC):
    """A program that can be ended and started again, on the same ports and with the same files.

    Methods and properties that need the running program raise ConnectionError if the program was
    not started, or was ended.

    Args:
        program: Path of the program.
        ports: Number of ports that the program needs.
    """

    _running: Program | None = None

    def __init__(self, program: str, ports: int) -> None:
        self._program = program
        # Reserved for the whole life of the part, so that no other process takes a port while the
        # program is ended.
        self._reserved = [ReservedPort((_HOST, 0), socket.AF_INET) for _ in range(ports)]
        self._folder = tempfile.mkdtemp(prefix="virtufin-")

    @property
    def folder(self) -> Path:
        """The folder with the files of the program. `close` deletes the folder."""
        return Path(self._folder)

    @property
    def running(self) -> bool:
        """True between `start` and the next `stop`, `kill` or `close` of this object.

        True also for a program that has ended by itself in the meantime.
        """
        return self._running is not None

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._get_program().pid

    @property
    def output(self) -> str:
        """The output of the program since its last start, from stdout and stderr."""
        return self._get_program().output()

    def start(self) -> None:
        """Starts the program and waits until it is ready, 30 s at most. Idempotent.

        Raises:
            RuntimeError: The program has ended, or is not ready in time. The text contains its
                output. The program is not running then.
        """
        if self._running is None:
            command = [self._program, *self._make_arguments()]
            program = Program(command, self._make_environment(), folder=self._folder)
            program.wait_until(self._is_ready, _START_TIMEOUT)
            self._running = program

    def stop(self) -> None:
        """Ends the program with SIGTERM. `start` starts the program again. Idempotent."""
        program, self._running = self._running, None
        if program is not None:
            program.stop()

    def kill(self) -> None:
        """Ends the program with SIGKILL. `start` starts the program again."""
        program, self._running = self._get_program(), None
        program.kill()

    def restart(self) -> None:
        """Ends the program with SIGKILL, starts it again, and waits until it is ready.

        Raises:
            RuntimeError: The program did not start again.
        """
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Freezes the program with SIGSTOP until `thaw`. Its connections stay open, unanswered."""
        self._get_program().freeze()

    def thaw(self) -> None:
        """Continues the program after `freeze`."""
        self._get_program().thaw()

    def close(self) -> None:
        """Ends the program for good: deletes its files and releases its ports. Idempotent."""
        self.stop()
        for port in self._reserved:
            port.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Any:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _get_program(self) -> Program:
        if self._running is None:
            raise ConnectionError(f"{self!r} does not run; start() starts it")
        return self._running

    @abstractmethod
    def _make_arguments(self) -> list[str]:
        """Returns the arguments of the program's command line."""

    def _make_environment(self) -> dict[str, str] | None:
        """Returns the environment variables of the program. None means those of this process."""
        return None

    @abstractmethod
    def _is_ready(self) -> bool:
        """Returns True if the program can be used. Called again and again during the start."""


class Redis(_Part):
    """A Redis server on a free port of 127.0.0.1, as a process of its own.

    The constructor starts nothing; call `start`, or use the server as a context manager. All
    methods block. From async code: `await asyncio.to_thread(redis.restart)`.

    Args:
        persistent: True to keep acknowledged data over `kill` and `restart`: Redis then writes each
            command to a file on disk. If False, only a frozen server keeps its data.
        program: Path of `redis-server`. None means the path from `find_redis`.

    Raises:
        MissingProgramError: `redis-server` is not on this machine.
    """

    def __init__(self, *, persistent: bool = True, program: str | None = None) -> None:
        super().__init__(program or find_redis(), ports=1)
        self._persistent = persistent

    @property
    def port(self) -> int:
        """The port of the server."""
        return self._reserved[0].port

    @property
    def address(self) -> str:
        """The address of the server as `host:port`."""
        return f"{_HOST}:{self.port}"

    def __enter__(self) -> Redis:
        super().__enter__()
        return self

    def __repr__(self) -> str:
        return f"<Redis {self.address}>"

    def _make_arguments(self) -> list[str]:
        arguments = ["--bind", _HOST, "--port", str(self.port), "--dir", self._folder]
        arguments += ["--save", "", "--loglevel", "warning"]
        # Both options, because without them a restart loses a stream and its consumer group.
        if self._persistent:
            arguments += ["--appendonly", "yes", "--appendfsync", "always"]
        return arguments

    def _is_ready(self) -> bool:
        # Suppressed, because a server that is still starting refuses connections.
        with suppress(OSError), socket.create_connection((_HOST, self.port), _PROBE_TIMEOUT) as one:
            one.sendall(b"PING\r\n")
            return one.recv(16).startswith(b"+PONG")
        return False


class Sidecar(_Part):
    """A Dapr sidecar (`daprd`) on free ports of 127.0.0.1, as a process of its own.

    The constructor starts nothing; call `start`, or use the sidecar as a context manager. All
    methods block. From async code: `await asyncio.to_thread(sidecar.restart)`.

    Args:
        app_id: The app-id. Subscribers with the same app-id share the events of a topic.
        resources: Texts of resource files, as JSON or YAML: components, subscriptions,
            configurations.
        app_port: gRPC port of the sidecar's app. None means that the sidecar has no app.
        arguments: Further command-line arguments of daprd.
        environment: Environment variables of daprd beside those of this process, such as
            DAPR_API_TOKEN and APP_API_TOKEN. None means no further variables.
        program: Path of `daprd`. None means the path from `find_daprd`.

    Raises:
        MissingProgramError: `daprd` is not on this machine.
        TypeError: An argument has the wrong type.
        ValueError: An argument is out of its range.
    """

    def __init__(
        self,
        app_id: str,
        resources: Iterable[str] = (),
        *,
        app_port: int | None = None,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        program: str | None = None,
    ) -> None:
        self.app_id = require_text(app_id, "app_id")
        self._app_port = None if app_port is None else require_whole(app_port, "app_port", 1, 65535)
        self._extra_arguments = [
            require_text(one, "each argument") for one in require_items(arguments, "arguments")
        ]
        self._variables = dict(environment or {})
        for name, value in self._variables.items():
            require_text(value, f"{name} of environment", empty=True)
        files = [
            require_text(one, "each resource") for one in require_items(resources, "resources")
        ]
        self._components = {name for file in files for name in read_component_names(file, app_id)}
        # Last, because wrong arguments must not leave reserved ports and a folder behind.
        super().__init__(program or find_daprd(), ports=4)
        for number, file in enumerate(files):
            (self.folder / f"{number:02}.yaml").write_text(file, encoding="utf-8")

    @property
    def grpc_port(self) -> int:
        """The port of the sidecar's gRPC API."""
        return self._reserved[0].port

    @property
    def http_port(self) -> int:
        """The port of the sidecar's HTTP API."""
        return self._reserved[1].port

    @property
    def address(self) -> str:
        """The address of the gRPC API as `host:port`, for `DaprPublisher(address=)`."""
        return f"{_HOST}:{self.grpc_port}"

    def wait_for_app(self, timeout: float = 30.0) -> None:
        """Waits until the sidecar has found its app and can deliver events to the app.

        Args:
            timeout: Seconds to wait at most.

        Raises:
            RuntimeError: The sidecar did not find its app in time, or ended. In both cases the
                process of the sidecar has ended.
            ConnectionError: The sidecar was not started, or was ended.
        """
        self._get_program().wait_until(lambda: self._get("/v1.0/healthz") is not None, timeout)

    def __enter__(self) -> Sidecar:
        super().__enter__()
        return self

    def __repr__(self) -> str:
        return f"<Sidecar {self.app_id!r} {self.address}>"

    def _make_arguments(self) -> list[str]:
        names = ("dapr-grpc-port", "dapr-http-port", "dapr-internal-grpc-port", "metrics-port")
        arguments = ["--app-id", self.app_id, "--resources-path", self._folder]
        for name, port in zip(names, self._reserved, strict=True):
            arguments += [f"--{name}", str(port.port)]
        arguments += ["--dapr-listen-addresses", _HOST]
        # Empty, because the tests run without Dapr's placement and scheduler services.
        arguments += ["--placement-host-address", "", "--scheduler-host-address", ""]
        arguments += ["--dapr-graceful-shutdown-seconds", "1"]
        if self._app_port is not None:
            arguments += ["--app-protocol", "grpc", "--app-port", str(self._app_port)]
        return arguments + self._extra_arguments

    def _make_environment(self) -> dict[str, str]:
        return {**os.environ, **self._variables}

    def _is_ready(self) -> bool:
        if self._get("/v1.0/healthz/outbound") is None:
            return False
        # The health check is not enough, because a sidecar that is ending after a component could
        # not be loaded is healthy for a moment.
        metadata = json.loads(self._get("/v1.0/metadata") or "{}")
        return self._components <= {one["name"] for one in metadata.get("components", ())}

    def _get(self, path: str) -> bytes | None:
        """Returns the body of the HTTP API's answer; None for no answer or an error status."""
        connection = http.client.HTTPConnection(_HOST, self.http_port, timeout=_PROBE_TIMEOUT)
        # A token in the environment protects the HTTP API of daprd as well.
        token = self._make_environment().get("DAPR_API_TOKEN")
        try:
            connection.request("GET", path, headers={"dapr-api-token": token} if token else {})
            answer = connection.getresponse()
            return answer.read() if answer.status in _OK_STATUSES else None
        except (OSError, http.client.HTTPException):
            # None, because a sidecar that is still starting refuses or breaks connections.
            return None
        finally:
            connection.close()
