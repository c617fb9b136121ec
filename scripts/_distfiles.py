"""The files of a release: built twice from the commit, compared, checked."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import _git
import _versions

FOLDER = _versions.ROOT / "dist"
BUILT = "built-from"
"""The file beside them that says from which commit they were built, and their digests."""


def names(distribution: str, version: str) -> list[str]:
    """The files of a distribution, its wheel last."""
    stem = f"{distribution.replace('-', '_')}-{version}"
    return [f"{stem}.tar.gz", f"{stem}-py3-none-any.whl"]


def digest(path: Path) -> str:
    """The SHA-256 of a file, as indexes show it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def build(folder: Path = FOLDER) -> list[Path]:
    """Builds all distributions of the commit, twice, and says what came out.

    Raises:
        ReleaseError: The two builds differ, or a build fails.
    """
    if changed := ", ".join(_git.changes(_versions.ROOT)):
        print(f"  LEFT OUT, as it is not committed: {changed}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    files = _build(folder)
    with tempfile.TemporaryDirectory() as again:
        for path in _build(Path(again)):
            if path.read_bytes() != (folder / path.name).read_bytes():
                raise _versions.ReleaseError(
                    f"two builds of {path.name} differ: something in it depends on when or where "
                    "it is built; find it before anything is published"
                )
    (folder / BUILT).write_text(_record(files))
    for path in files:
        print(f"  {path.name}  {path.stat().st_size // 1024 + 1} KiB  sha256 {digest(path)}")
    return files


def check(folder: Path = FOLDER) -> list[Path]:
    """The built files, in the order in which they are published.

    Raises:
        ReleaseError: A file is missing, too many or not as it was built, or an index would refuse
            one.
    """
    version = _versions.current()
    wanted = [name for dist in _versions.DISTRIBUTIONS for name in names(dist, version)]
    there = {path.name for path in folder.glob("*")} - {".gitignore"}
    if odd := ", ".join(sorted(there ^ {*wanted, BUILT})):
        raise _versions.ReleaseError(
            f"{folder} has not just the files of {version} ({odd}): `scripts/release build`"
        )
    files = [folder / name for name in wanted]
    if (folder / BUILT).read_text() != _record(files):
        raise _versions.ReleaseError(
            f"{folder} was built from another commit, or changed since: `scripts/release build`"
        )
    command = ["twine", "--no-color", "check", "--strict", *map(str, files)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise _versions.ReleaseError(f"an index may refuse these files: {result.stdout.strip()}")
    return files


def _record(files: list[Path]) -> str:
    lines = [_git.commit(_versions.ROOT), *(f"{digest(path)}  {path.name}" for path in files)]
    return "".join(f"{line}\n" for line in lines)


def _build(folder: Path) -> list[Path]:
    """Builds the files of the commit, from which nothing else on this machine can be reached."""
    time = _git.git(_versions.ROOT, "log", "-1", "--format=%ct")
    env = {**os.environ, "SOURCE_DATE_EPOCH": time}
    with tempfile.TemporaryDirectory() as exported:
        tree = Path(exported)
        _git.export(_versions.ROOT, tree)
        version = _versions.current(tree)
        if version != _versions.current():
            raise _versions.ReleaseError(
                f"the last commit has version {version}, and the version here is another: commit it"
            )
        for name in _versions.DISTRIBUTIONS:
            command = ["uv", "build", "--quiet", f"packages/{name}", "--out-dir", str(folder)]
            if subprocess.run(command, cwd=tree, env=env, check=False).returncode:
                raise _versions.ReleaseError(f"{name} could not be built: what uv says is above")
    return [folder / name for dist in _versions.DISTRIBUTIONS for name in names(dist, version)]
