"""A clone as git sees it: the commit, the differences from it, and the files."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import _versions


def git(root: Path, *arguments: str) -> str:
    """Returns the output of a git command; empty if it fails without any."""
    return _run(root, *arguments).decode(errors="backslashreplace").strip("\n")


def commit(root: Path) -> str:
    """The commit that is checked out."""
    return git(root, "rev-parse", "HEAD")


def changes(root: Path) -> list[str]:
    """The files that differ from the commit, those that it does not have among them."""
    # Renames would be two names, and settings of the user may hide new files.
    options = ["--porcelain", "-z", "--no-renames", "--untracked-files=all"]
    return [entry[3:] for entry in git(root, "status", *options).split("\0") if entry]


def committed(root: Path, name: str) -> str | None:
    """The text of a file in the commit; None where it is not there."""
    if not git(root, "ls-tree", "HEAD", "--", name):
        return None
    return git(root, "show", f"HEAD:{name}")


def export(root: Path, folder: Path) -> None:
    """Writes the files of the commit into a folder: no other files, and no other content."""
    # A user's setting would write other line ends.
    archive = _run(root, "-c", "core.autocrlf=false", "archive", "--format=tar", "HEAD")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")


def _run(root: Path, *arguments: str) -> bytes:
    command = ["git", "-C", str(root), *arguments]
    result = subprocess.run(command, capture_output=True, check=False)
    if result.returncode and result.stderr:
        said = result.stderr.decode(errors="backslashreplace").strip()
        raise _versions.ReleaseError(f"`git {' '.join(arguments)}`: {said}")
    return result.stdout
