"""Runs nox, in an environment of its own with uv, on this clone: `_tools.py ARGUMENTS OF NOX`."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import _newer_pythons
import _venv

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ("nox", "uv")
RUN = "VIRTUFIN_RUN"
"""Names the clone whose lock a parent process holds."""


def pinned(names: tuple[str, ...]) -> list[str]:
    """The requirements of these names as requirements/constraints.txt pins them."""
    text = (ROOT / "requirements/constraints.txt").read_text()
    return [re.findall(rf"^{name}==\S+", text, re.MULTILINE)[0] for name in names]


def interpreters() -> list[str]:
    """Folders of the real interpreters below pyenv: its shims answer only for the active ones."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    return [str(path.parent) for path in sorted(root.glob("versions/3.1[0-9]*/bin/python"))]


def environment(tools: Path) -> dict[str, str]:
    """Returns the variables for nox and uv: real interpreters, no downloads, the index of pip."""
    env = dict(os.environ)
    shims = str(Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "shims")
    path = [folder for folder in env.get("PATH", "").split(os.pathsep) if folder != shims]
    newer = str(_newer_pythons.folder())
    env["PATH"] = os.pathsep.join([str(tools / "bin"), *path, *interpreters(), newer])
    env["UV_PYTHON_DOWNLOADS"] = "never"
    # Relative to the clone, where nox runs: uv splits this one at spaces.
    env["UV_BUILD_CONSTRAINT"] = "requirements/constraints.txt"
    if index := env.get("PIP_INDEX_URL"):
        env.setdefault("UV_DEFAULT_INDEX", index)
    # Images of Python set the first; each process of the tests would compile all of them again.
    foreign = ("PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")
    for name in (*foreign, "PYENV_VERSION", "PYTEST_ADDOPTS"):
        env.pop(name, None)
    return env


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Keeps other runs out of this clone; what is started inside the block belongs to this run."""
    if os.environ.get(RUN) == str(ROOT):
        yield
        return
    with _venv.lock(ROOT / ".nox/.lock", "another run in this clone"):
        os.environ[RUN] = str(ROOT)
        try:
            yield
        finally:
            del os.environ[RUN]


def main() -> int:
    """Sets up the tools, waits for other runs in this clone, and runs nox."""
    try:
        tools = _venv.ensure("tools", sys.executable, pinned(TOOLS))
    except _venv.SetupError as error:
        sys.exit(str(error))
    command = [str(tools / "bin/nox"), "--noxfile", str(ROOT / "noxfile.py"), *sys.argv[1:]]
    with alone():
        process = subprocess.Popen(command, env=environment(tools))
        # Ctrl-C reaches nox too, which ends its children first: wait for that.
        signal.signal(signal.SIGINT, lambda *_: None)
        return process.wait()


if __name__ == "__main__":
    sys.exit(main())
