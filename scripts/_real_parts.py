"""Finds `daprd` and `redis-server`, or gets them; says where they are, as `VARIABLE=path` lines.

Standard library only, so that it runs under any Python from 3.10 on. daprd is where VIRTUFIN_DAPRD
says, on PATH, where `dapr init` puts it, or built from its Go module into the cache folder. Redis
is where VIRTUFIN_REDIS_SERVER says, on PATH, or installed with apt.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import _go
import _venv

DAPRD = _go.Program(
    module="github.com/dapr/dapr",
    version="v1.18.2",  # 1.18.3 needs a module that the Go proxy does not serve.
    package="./cmd/daprd",
    tags="stablecomponents",
)
HOW = "scripts/real_parts gets it"


class MissingPartError(RuntimeError):
    """A part is not here, or cannot be got; the text says what to do."""


def find_daprd() -> Path | None:
    """The daprd that is here already."""
    return _found("daprd", "VIRTUFIN_DAPRD", Path.home() / ".dapr/bin/daprd", _built_daprd())


def find_redis() -> Path | None:
    """The Redis that is here already."""
    return _found("redis-server", "VIRTUFIN_REDIS_SERVER")


def get_daprd() -> Path:
    """Builds daprd, unless it is here; minutes the first time."""
    target = _built_daprd()
    lock = target.with_suffix(".lock")
    with _venv.lock(lock, "another run that builds daprd"):
        found = find_daprd()
        if found is None:
            _build_daprd(target)
            found = target
    return found


def get_redis() -> Path:
    """Installs Redis with apt, unless it is here."""
    if (found := find_redis()) is not None:
        return found
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise MissingPartError("install Redis, so that redis-server is on PATH")
    _say("installing redis-server with apt")
    _run(["apt-get", "update", "-qq"])
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "redis-server"]
    # Debian would start a server of its own on the usual port.
    policy = Path("/usr/sbin/policy-rc.d")
    held = not policy.exists()
    if held:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        _run(install)
    finally:
        if held:
            policy.unlink()
    if (found := find_redis()) is None:
        raise MissingPartError("apt could not install redis-server: what it says is above")
    return found


def _found(name: str, variable: str, *elsewhere: Path) -> Path | None:
    if named := os.environ.get(variable):
        path = shutil.which(named)
        if path is None:
            raise MissingPartError(f"{variable}={named} names no program that can be run")
        return Path(path)
    for candidate in (name, *map(str, elsewhere)):
        if path := shutil.which(candidate):
            return Path(path)
    return None


def _built_daprd() -> Path:
    return _venv.cache_folder() / f"daprd-{DAPRD.version}" / "daprd"


def _build_daprd(target: Path) -> None:
    if shutil.which("go") is None:
        raise MissingPartError("daprd is built with Go: install it, or Dapr itself (`dapr init`)")
    try:
        _go.build(DAPRD, target)
    except _go.BuildError as error:
        raise MissingPartError(str(error)) from error


def _run(command: list[str], folder: str | None = None) -> int:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(command, cwd=folder, env=env, stdout=sys.stderr, check=False).returncode


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Says where the parts are; 1 where one is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--find", action="store_true", help="only look, get nothing")
    find = parser.parse_args().find
    parts = {
        "VIRTUFIN_DAPRD": find_daprd if find else get_daprd,
        "VIRTUFIN_REDIS_SERVER": find_redis if find else get_redis,
    }
    missing = []
    for variable, part in parts.items():
        path = part()
        if path is None:
            missing.append(variable.removeprefix("VIRTUFIN_").lower().replace("_", "-"))
        else:
            print(f"{variable}={path}", flush=True)
    if missing:
        _say(f"not on this machine: {', '.join(missing)}; {HOW}")
    return 1 if missing else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MissingPartError as error:
        sys.exit(f"scripts/real_parts: {error}")
