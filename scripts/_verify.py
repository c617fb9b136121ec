"""A check of this clone against what a tag promises."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import _changelog
import _git
import _versions


def problems(tag: str, root: Path = _versions.ROOT) -> list[str]:
    """Returns the obstacles to releasing the commit under a tag, each as a sentence."""
    # Of the commit, which is what is built: git can be set to overlook what differs from it.
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        _git.export(root, tree)
        version = _versions.current(tree)
        found = [*_versions.problems(tree), _changelog.released(version, tree), *_generated(tree)]
    if tag != f"v{version}":
        found.append(f"the tag is {tag}, the version {version}: tag v{version} or bump the version")
    if changed := ", ".join(_git.changes(root)):
        found.append(f"the clone has changes that are not committed ({changed}): commit or remove")
    tagged = _git.git(root, "rev-parse", "--verify", "--quiet", f"refs/tags/{tag}^{{commit}}")
    if not tagged:
        found.append(f"there is no tag {tag} here: `git tag {tag}` (or fetch it)")
    elif tagged != _git.commit(root):
        found.append(f"{tag} is another commit than the one checked out: `git checkout {tag}`")
    return [problem for problem in found if problem]


def _generated(tree: Path) -> list[str]:
    command = [sys.executable, str(tree / "scripts/generate_protos"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return []
    said = (result.stderr or result.stdout).strip()
    return [f"the generated code is not current, or could not be compared: {said}"]
