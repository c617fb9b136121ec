"""A Gitea of its own for the rehearsal of a release, with a runner of its workflows.

Both are built from their Go modules into the cache folder, and run on 127.0.0.1 in a folder of
theirs. They are ended with the block that started them.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _go
import _process
import _venv

GITEA = _go.Program(
    module="code.gitea.io/gitea",
    version="v1.26.4",  # 1.27 needs modules that the Go proxy does not serve.
    tags="sqlite sqlite_unlock_notify",
)
RUNNER = _go.Program(module="gitea.com/gitea/runner", version="v1.0.8")
START = 60.0
"""Seconds within which Gitea answers."""
STOP = 20.0
"""Seconds after which what does not end is killed."""

_CONFIG = """
RUN_USER = {user}
RUN_MODE = prod
WORK_PATH = {folder}
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true
[server]
STATIC_ROOT_PATH = {static}
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = http://127.0.0.1:{port}/
DISABLE_SSH = true
OFFLINE_MODE = true
[database]
DB_TYPE = sqlite3
[security]
INSTALL_LOCK = true
[service]
DISABLE_REGISTRATION = true
[log]
LEVEL = Warn
[cron.update_checker]
ENABLED = false
"""
_RUNNER_CONFIG = """
runner:
  capacity: 1
  fetch_interval: 1s
  labels: ["ubuntu-latest:host"]
cache:
  enabled: false
host:
  workdir_parent: {folder}/work
container:
  workdir_parent: {folder}/container
"""


class Gitea:
    """A running Gitea."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"
        self.program = program("gitea", GITEA)

    def command(self, *arguments: str) -> str:
        """Runs a command of Gitea's own; the last line of what it says."""
        command = [str(self.program), "--config", str(self.folder / "app.ini"), *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            raise RuntimeError(f"gitea {' '.join(arguments[:3])}: {result.stdout}{result.stderr}")
        return (result.stdout.strip().splitlines() or [""])[-1]

    def add_user(self, name: str) -> None:
        """A user, the first one an administrator."""
        password = ["--random-password", "--must-change-password=false"]
        mail = ["--email", f"{name}@example.invalid"]
        self.command("admin", "user", "create", "--username", name, *mail, *password)

    def token(self, user: str, *scopes: str) -> str:
        """A personal access token."""
        name = ["--username", user, "--token-name", "-".join(scopes).replace(":", "-")]
        scope = ["--scopes", ",".join(scopes), "--raw"]
        return self.command("admin", "user", "generate-access-token", *name, *scope)

    def packages(self, owner: str) -> str:
        """Returns the address for uploads of the owner's Python packages."""
        return f"{self.url}/api/packages/{owner}/pypi"

    def api(self, token: str, method: str, path: str, body: object = None) -> Any:
        """A call of the API: parsed JSON, or text where it is none."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"token {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(
            f"{self.url}/api/v1{path}", data=data, method=method, headers=headers
        )
        try:
            with urllib.request.urlopen(request, timeout=START) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.code} {error.read().decode()}") from None
        try:
            return json.loads(text) if text else None
        except ValueError:
            return text


def program(name: str, what: _go.Program) -> Path:
    """The program in the cache folder, built on first use."""
    target = _venv.cache_folder() / f"{name}-{what.version}" / name
    with _venv.lock(target.with_suffix(".lock"), f"another run that builds {name}"):
        if not target.exists():
            _go.build(what, target)
    return target


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Gitea]:
    """A new, empty Gitea in this folder."""
    folder.mkdir(parents=True)
    with socket.socket() as place:
        # Bound, not listening: no other program gets the port, but Gitea does, by SO_REUSEADDR.
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
        user, static = pwd.getpwuid(os.getuid()).pw_name, _go.source(GITEA)
        config = _CONFIG.format(user=user, folder=folder, static=static, port=port)
        (folder / "app.ini").write_text(config)
        gitea = Gitea(folder, port)
        gitea.command("migrate")
        command = [str(gitea.program), "--config", str(folder / "app.ini"), "web"]
        with _program(command, folder / "gitea.log", dict(os.environ)) as process:
            _await_health(gitea, process)
            yield gitea


@contextlib.contextmanager
def runner(gitea: Gitea, env: dict[str, str]) -> Iterator[None]:
    """A runner of workflows on this machine itself, with nothing but `env` around its jobs."""
    folder = gitea.folder / "runner"
    folder.mkdir()
    (folder / "config.yaml").write_text(_RUNNER_CONFIG.format(folder=folder))
    path, config = str(program("gitea-runner", RUNNER)), str(folder / "config.yaml")
    token = gitea.command("actions", "generate-runner-token")
    register = [path, "register", "--no-interactive", "--config", config]
    register += ["--instance", gitea.url, "--token", token, "--name", "rehearsal"]
    subprocess.run(register, cwd=folder, env=env, check=True, capture_output=True)
    with _program([path, "daemon", "--config", config], folder / "runner.log", env, cwd=folder):
        yield


@contextlib.contextmanager
def _program(
    command: list[str], log: Path, env: dict[str, str], cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        yield process
    finally:
        _process.end(process, STOP)


def _await_health(gitea: Gitea, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{gitea.url}/api/healthz", timeout=1).close()
            return
        time.sleep(0.1)
    log = (gitea.folder / "gitea.log").read_text()
    raise RuntimeError(f"Gitea does not answer within {START:.0f} s: {log[-2000:]}")
