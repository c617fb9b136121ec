"""Virtual environments in a cache folder outside the clone, shared by its scripts.

Standard library only, so that it runs under any Python from 3.10 on.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path


class SetupError(RuntimeError):
    """An environment could not be made; the text says what to do."""


def cache_folder() -> Path:
    """The folder outside the clone that keeps what the scripts install."""
    if explicit := os.environ.get("VIRTUFIN_CACHE"):
        return Path(explicit).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "virtufin-api"


@contextlib.contextmanager
def lock(path: Path, waiting_for: str) -> Iterator[None]:
    """Holds an exclusive lock; the operating system drops it with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for {waiting_for}", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def ensure(name: str, python: str, requirements: Sequence[str]) -> Path:
    """The environment of that name with exactly these requirements, made on first use.

    A stamp written last distinguishes a whole environment from an interrupted one.
    """
    python = os.path.realpath(shutil.which(python) or python)
    wanted = "\n".join((python, *requirements))
    home = cache_folder() / f"{name}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    stamp = home / "requirements.txt"
    with lock(home.with_suffix(".lock"), f"another run that sets up {home.name}"):
        if not (stamp.exists() and _starts(home / "bin/python")):
            print(f"setting up {name} in {home}", file=sys.stderr, flush=True)
            shutil.rmtree(home, ignore_errors=True)
            _make(home, python, requirements)
            stamp.write_text(wanted)
    return home


def _starts(python: Path) -> bool:
    try:
        return subprocess.run([str(python), "-c", ""], check=False).returncode == 0
    except OSError:
        return False


def _make(home: Path, python: str, requirements: Sequence[str]) -> None:
    subprocess.run([python, "-m", "venv", str(home)], check=True)
    pip = [str(home / "bin/python"), "-m", "pip", "--disable-pip-version-check"]
    install = [*pip, "install", "--quiet", "--only-binary", ":all:", *requirements]
    if subprocess.run(install, check=False).returncode != 0:
        shutil.rmtree(home, ignore_errors=True)
        raise SetupError(
            f"could not install {' '.join(requirements)}: what pip says is above. It needs a "
            "package index: is the network up, does PIP_INDEX_URL name one that answers?"
        )
