"""A copy of the clone's released parts, in a repository of its own."""

import os
import shutil
import subprocess

import pytest

from tests.workspace import DISTRIBUTIONS, PACKAGES, ROOT


@pytest.fixture
def clone(tmp_path):
    root = tmp_path / "clone"
    for name in DISTRIBUTIONS:
        kept = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PACKAGES / name, root / "packages" / name, ignore=kept)
    text = (ROOT / "CHANGELOG.md").read_text()
    new = "## [Unreleased]\n\n- Something new.\n\n## "
    (root / "CHANGELOG.md").write_text(text.replace("## ", new, 1))
    git(root, "init", "--quiet")
    commit(root)
    return root


def git(root, *arguments):
    who = ("-c", "user.name=Test", "-c", "user.email=test@example.invalid")
    subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True)


def commit(root):
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "--message", "A change")


def fake(folder, name, text):
    """A program that is found before the real one."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return os.pathsep.join([str(folder), os.environ["PATH"]])
