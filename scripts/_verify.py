"""Whether this clone is what a tag promises."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import _versions


def problems(tag: str, root: Path = _versions.ROOT) -> list[str]:
    """What keeps this clone from being released under a tag, each as a sentence."""
    found = [*_versions.problems(root)]
    version = _versions.current(root)
    if tag != f"v{version}":
        found.append(f"the tag is {tag}, the version {version}: tag v{version} or bump the version")
    if said := _versions.released(version, root):
        found.append(said)
    if changed := _git(root, "status", "--porcelain"):
        files = ", ".join(line[3:] for line in changed.splitlines())
        found.append(f"the clone has changes that are not committed ({files}): commit or remove")
    tagged = _git(root, "rev-parse", "--verify", "--quiet", f"refs/tags/{tag}^{{commit}}")
    if not tagged:
        found.append(f"there is no tag {tag} here: `git tag {tag}` (or fetch it)")
    elif tagged != _git(root, "rev-parse", "HEAD"):
        found.append(f"{tag} is another commit than the one checked out: `git checkout {tag}`")
    return found + _generated(root)


def commit_time(root: Path = _versions.ROOT) -> str:
    """Seconds since 1970 of the last commit, which is the time in what is built from it."""
    return _git(root, "log", "-1", "--format=%ct")


def state(root: Path = _versions.ROOT) -> str:
    """The commit and what is not committed, in a word that changes with either."""
    changes = _git(root, "diff", "HEAD") + _git(root, "status", "--porcelain")
    commit = _git(root, "rev-parse", "HEAD")
    return f"{commit} {hashlib.sha256(changes.encode()).hexdigest() if changes else 'clean'}"


def _generated(root: Path) -> list[str]:
    command = [sys.executable, str(root / "scripts/generate_protos"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return []
    said = (result.stderr or result.stdout).strip()
    return [f"the generated code is not current, or could not be compared: {said}"]


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode and result.stderr:
        raise _versions.ReleaseError(f"`git {' '.join(arguments)}`: {result.stderr.strip()}")
    return result.stdout.strip("\n")
