"""The files of a release: built twice, compared, checked."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import _verify
import _versions

FOLDER = _versions.ROOT / "dist"
BUILT = "built-from"
"""The file beside them that says which commit they were built from."""


def names(distribution: str, version: str) -> list[str]:
    """The files of a distribution, its wheel last."""
    stem = f"{distribution.replace('-', '_')}-{version}"
    return [f"{stem}.tar.gz", f"{stem}-py3-none-any.whl"]


def digest(path: Path) -> str:
    """The SHA-256 of a file, as indexes show it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def build(folder: Path = FOLDER) -> list[Path]:
    """Builds all distributions, twice, and says what came out.

    Raises:
        ReleaseError: The two builds differ, or a build fails.
    """
    shutil.rmtree(folder, ignore_errors=True)
    files = _build(folder)
    with tempfile.TemporaryDirectory() as again:
        for path in _build(Path(again)):
            if path.read_bytes() != (folder / path.name).read_bytes():
                raise _versions.ReleaseError(
                    f"two builds of {path.name} differ: something in it depends on when or where "
                    "it is built; find it before anything is published"
                )
    (folder / BUILT).write_text(_verify.state())
    for path in files:
        print(f"  {path.name}  {path.stat().st_size // 1024 + 1} KiB  sha256 {digest(path)}")
    return files


def check(folder: Path = FOLDER) -> list[Path]:
    """The built files, in the order in which they are published.

    Raises:
        ReleaseError: A file is missing or too many, or an index would refuse one.
    """
    version = _versions.current()
    wanted = [name for dist in _versions.DISTRIBUTIONS for name in names(dist, version)]
    there = {path.name for path in folder.glob("*")} - {BUILT, ".gitignore"}
    if there != set(wanted):
        odd = ", ".join(sorted(there ^ set(wanted)))
        raise _versions.ReleaseError(
            f"{folder} has not just the files of {version} ({odd}): `scripts/release build`"
        )
    if (folder / BUILT).read_text() != _verify.state():
        raise _versions.ReleaseError(
            f"{folder} was built from another commit, or from changes that were not committed: "
            "`scripts/release build`"
        )
    files = [folder / name for name in wanted]
    command = ["twine", "--no-color", "check", "--strict", *map(str, files)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise _versions.ReleaseError(f"an index may refuse these files: {result.stdout.strip()}")
    return files


def _build(folder: Path) -> list[Path]:
    env = {**os.environ, "SOURCE_DATE_EPOCH": _verify.commit_time()}
    for name in _versions.DISTRIBUTIONS:
        source = str(_versions.ROOT / "packages" / name)
        command = ["uv", "build", "--quiet", source, "--out-dir", str(folder)]
        _run(command, f"{name} could not be built", env)
    version = _versions.current()
    return [folder / name for dist in _versions.DISTRIBUTIONS for name in names(dist, version)]


def _run(command: list[str], otherwise: str, env: dict[str, str] | None = None) -> None:
    if subprocess.run(command, env=env, check=False).returncode:
        raise _versions.ReleaseError(otherwise)
