"""A real Dapr sidecar and a real Redis for tests: found on the machine, started, always ended.

Nothing here plays a part: `daprd` and `redis-server` run as processes of their own, on free ports
of this machine, with files in a temporary folder. Needs no other part of Dapr (no placement, no
scheduler, no containers).

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
    component_names,
    find,
    redelivery,
)
from virtufin.api.emulator._validation import several, text, whole

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
_START_TIMEOUT = 30.0
_PROBE_TIMEOUT = 2.0
_OK_STATUSES = range(200, 300)


def find_daprd() -> str:
    """The path of `daprd`: VIRTUFIN_DAPRD, PATH, or where `dapr init` puts it.

    Raises:
        MissingProgramError: There is none.
    """
    advice = "install Dapr (`dapr init` puts it into ~/.dapr/bin)"
    return find("daprd", "VIRTUFIN_DAPRD", Path.home() / ".dapr/bin/daprd", advice)


def find_redis() -> str:
    """The path of `redis-server`: VIRTUFIN_REDIS_SERVER, or PATH.

    Raises:
        MissingProgramError: There is none.
    """
    advice = "install Redis (package redis-server on Debian and Ubuntu)"
    return find("redis-server", "VIRTUFIN_REDIS_SERVER", None, advice)


def component(
    name: str, kind: str, metadata: Mapping[str, str] | None = None, *, scopes: Sequence[str] = ()
) -> str:
    """The text of a Dapr component file.

    Args:
        name: What calls name, such as `pubsub`.
        kind: Its type, such as `pubsub.redis` (see Dapr's component reference).
        metadata: Its settings.
        scopes: App-ids that may use it; none means all.
    """
    document: dict[str, Any] = {
        "apiVersion": "dapr.io/v1alpha1",
        "kind": "Component",
        "metadata": {"name": name},
        "spec": {
            "type": kind,
            "version": "v1",
            "metadata": [{"name": key, "value": value} for key, value in (metadata or {}).items()],
        },
    }
    if scopes:
        document["scopes"] = list(scopes)
    # JSON is YAML, and needs no library to be written.
    return json.dumps(document, indent=2)


def redis_components(
    redis: Redis,
    *,
    pubsub_name: str = "pubsub",
    store_name: str = "statestore",
    pubsub_metadata: Mapping[str, str] | None = None,
) -> list[str]:
    """A pub/sub component and a state store on one Redis, as the tests of this project use them.

    What an app has not acknowledged after a second, or asks for again (RETRY), is delivered again,
    without end; there may be hundreds of topics (`poolSize`); all app-ids share the state.

    Args:
        redis: Where.
        pubsub_name: Name of the pub/sub component.
        store_name: Name of the state store.
        pubsub_metadata: Further settings of the pub/sub component, or other values of these.

    Raises:
        ValueError: `processingTimeout` is not a whole number of milliseconds.
    """
    connection = {"redisHost": redis.address, "redisPassword": ""}
    pubsub = {
        **connection,
        # In milliseconds: Dapr 1.18 overlooks this interval where it is written as "1s".
        "processingTimeout": "1000",
        "redeliverInterval": "500",
        # A topic takes a connection; past ten per CPU, unless told, not even publishing works.
        "poolSize": "1000",
        **(pubsub_metadata or {}),
    }
    store = {**connection, "keyPrefix": "name"}
    return [
        component(pubsub_name, "pubsub.redis", pubsub),
        component(store_name, "state.redis", store),
        redelivery(pubsub_name, pubsub["processingTimeout"]),
    ]


class _Part(ABC):
    """A program that can be ended and started again, on the same ports and with the same files."""

    _running: Program | None = None

    def __init__(self, program: str, ports: int) -> None:
        self._program = program
        self._reserved = [ReservedPort((_HOST, 0), socket.AF_INET) for _ in range(ports)]
        self._folder = tempfile.mkdtemp(prefix="virtufin-")

    @property
    def folder(self) -> Path:
        """Where its files are; deleted by `close`."""
        return Path(self._folder)

    @property
    def running(self) -> bool:
        """Whether it was started and not ended by us since."""
        return self._running is not None

    @property
    def pid(self) -> int:
        """Id of its process; ConnectionError where it does not run."""
        return self._started().pid

    @property
    def output(self) -> str:
        """What it has written since its last start; ConnectionError where it does not run."""
        return self._started().output()

    def start(self) -> None:
        """Starts it, and waits until it is ready. Does nothing if it runs.

        Raises:
            RuntimeError: It did not start; the text has what it wrote.
        """
        if self._running is None:
            command = [self._program, *self._arguments()]
            program = Program(command, self._environment(), folder=self._folder)
            program.wait_until(self._ready, _START_TIMEOUT)
            self._running = program

    def stop(self) -> None:
        """Ends it in order (SIGTERM). Idempotent; `start` starts it again."""
        program, self._running = self._running, None
        if program is not None:
            program.stop()

    def kill(self) -> None:
        """Ends it on the spot (SIGKILL); `start` starts it again."""
        program, self._running = self._started(), None
        program.kill()

    def restart(self) -> None:
        """`kill`, then `start`."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Stops its time (SIGSTOP): connections stand, nothing is answered, until `thaw`."""
        self._started().freeze()

    def thaw(self) -> None:
        """Lets it go on after `freeze`."""
        self._started().thaw()

    def close(self) -> None:
        """Ends it, and deletes its files. Idempotent."""
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

    def _started(self) -> Program:
        if self._running is None:
            raise ConnectionError(f"{self!r} does not run; start() starts it")
        return self._running

    @abstractmethod
    def _arguments(self) -> list[str]:
        """Its command line."""

    def _environment(self) -> dict[str, str] | None:
        """Its environment; None for that of this process."""
        return None

    @abstractmethod
    def _ready(self) -> bool:
        """Whether it can be used."""


class Redis(_Part):
    """A Redis server of its own, on a free port of 127.0.0.1.

    From async code: `await asyncio.to_thread(redis.restart)`.

    Args:
        persistent: Whether what was acknowledged survives `kill` and `restart` (append-only file,
            written through at every command).
        program: Path of `redis-server`; not given: see `find_redis`.

    Raises:
        MissingProgramError: There is no `redis-server` on this machine.
    """

    def __init__(self, *, persistent: bool = True, program: str | None = None) -> None:
        super().__init__(program or find_redis(), ports=1)
        self._persistent = persistent

    @property
    def port(self) -> int:
        """Its port."""
        return self._reserved[0].port

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{_HOST}:{self.port}"

    def __enter__(self) -> Redis:
        super().__enter__()
        return self

    def __repr__(self) -> str:
        return f"<Redis {self.address}>"

    def _arguments(self) -> list[str]:
        arguments = ["--bind", _HOST, "--port", str(self.port), "--dir", self._folder]
        arguments += ["--save", "", "--loglevel", "warning"]
        if self._persistent:
            arguments += ["--appendonly", "yes", "--appendfsync", "always"]
        return arguments

    def _ready(self) -> bool:
        with suppress(OSError), socket.create_connection((_HOST, self.port), _PROBE_TIMEOUT) as one:
            one.sendall(b"PING\r\n")
            return one.recv(16).startswith(b"+PONG")
        return False


class Sidecar(_Part):
    """A Dapr sidecar, `daprd`, on free ports of 127.0.0.1; from async code as `Redis` is.

    Args:
        app_id: The app-id: who subscribes under the same one shares the events of a topic.
        resources: Texts of resource files: components, subscriptions, configurations.
        app_port: gRPC port of the app it belongs to; None for none.
        arguments: Further arguments of daprd.
        environment: Further environment variables, such as DAPR_API_TOKEN and APP_API_TOKEN.
        program: Path of `daprd`; not given: see `find_daprd`.

    Raises:
        MissingProgramError: There is no `daprd` on this machine.
        TypeError, ValueError: An argument cannot be one.
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
        self.app_id = text(app_id, "app_id")
        self._app_port = None if app_port is None else whole(app_port, "app_port", 1, 65535)
        self._more = [text(one, "each argument") for one in several(arguments, "arguments")]
        self._variables = dict(environment or {})
        for name, value in self._variables.items():
            text(value, f"{name} of environment", empty=True)
        files = [text(one, "each resource") for one in several(resources, "resources")]
        self._components = {name for file in files for name in component_names(file, app_id)}
        super().__init__(program or find_daprd(), ports=4)
        for number, file in enumerate(files):
            (self.folder / f"{number:02}.yaml").write_text(file, encoding="utf-8")

    @property
    def grpc_port(self) -> int:
        """Port of its gRPC API."""
        return self._reserved[0].port

    @property
    def http_port(self) -> int:
        """Port of its HTTP API."""
        return self._reserved[1].port

    @property
    def address(self) -> str:
        """`host:port` of its gRPC API, as `DaprPublisher(address=)` takes it."""
        return f"{_HOST}:{self.grpc_port}"

    def wait_for_app(self, timeout: float = 30.0) -> None:
        """Waits until the sidecar has found its app, and delivers to it.

        Raises:
            RuntimeError: It did not come to that within `timeout` seconds, or the sidecar ended.
                The sidecar is ended then.
        """
        self._started().wait_until(lambda: self._get("/v1.0/healthz") is not None, timeout)

    def __enter__(self) -> Sidecar:
        super().__enter__()
        return self

    def __repr__(self) -> str:
        return f"<Sidecar {self.app_id!r} {self.address}>"

    def _arguments(self) -> list[str]:
        names = ("dapr-grpc-port", "dapr-http-port", "dapr-internal-grpc-port", "metrics-port")
        arguments = ["--app-id", self.app_id, "--resources-path", self._folder]
        for name, port in zip(names, self._reserved, strict=True):
            arguments += [f"--{name}", str(port.port)]
        arguments += ["--dapr-listen-addresses", _HOST]
        arguments += ["--placement-host-address", "", "--scheduler-host-address", ""]
        arguments += ["--dapr-graceful-shutdown-seconds", "1"]
        if self._app_port is not None:
            arguments += ["--app-protocol", "grpc", "--app-port", str(self._app_port)]
        return arguments + self._more

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self._variables}

    def _ready(self) -> bool:
        if self._get("/v1.0/healthz/outbound") is None:
            return False
        # Also said by one that is ending, as a component could not be loaded.
        metadata = json.loads(self._get("/v1.0/metadata") or "{}")
        return self._components <= {one["name"] for one in metadata.get("components", ())}

    def _get(self, path: str) -> bytes | None:
        """What it answers; None where it does not, or says no."""
        connection = http.client.HTTPConnection(_HOST, self.http_port, timeout=_PROBE_TIMEOUT)
        token = self._environment().get("DAPR_API_TOKEN")
        try:
            connection.request("GET", path, headers={"dapr-api-token": token} if token else {})
            answer = connection.getresponse()
            return answer.read() if answer.status in _OK_STATUSES else None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
