"""Fixtures of the packaging tests: built files, bare environments, and programs run there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workspace import DISTRIBUTIONS, PACKAGES, ROOT


def run(*command, **options):
    """The output of a command that must not fail."""
    result = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def build(sources, folder, *options):
    """Builds each distribution from a copy, so that nothing outside its folder can be used."""
    time = run("git", "log", "-1", "--format=%ct", cwd=ROOT).strip()
    env = {**os.environ, "SOURCE_DATE_EPOCH": time}
    kept = shutil.ignore_patterns("__pycache__")
    for name in DISTRIBUTIONS:
        shutil.copytree(PACKAGES / name, sources / name, ignore=kept)
        run("uv", "build", str(sources / name), "--out-dir", str(folder), *options, env=env)
    return folder


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """Wheels and sdists of all four."""
    return build(tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("dist"))


def install(python, *requirements):
    """Installs into an environment, at the versions that all checks use."""
    constraints = str(ROOT / "requirements/constraints.txt")
    # uv keeps what it unpacked by name and version, and ours change without a new version.
    fresh = [f"--refresh-package={name}" for name in DISTRIBUTIONS]
    run("uv", "pip", "install", "--python", python, "-c", constraints, *fresh, *requirements)


def environment(folder, *requirements):
    """A bare virtual environment with these and what they need."""
    run("uv", "venv", "--python", sys.executable, str(folder))
    python = str(folder / "bin/python")
    if requirements:
        install(python, *requirements)
    return python


def execute(python, code, cwd, *options):
    """Runs code in an environment, without the variables of this one; warnings are errors."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUFIN"))}
    return run(python, "-W", "error", *options, "-c", code, cwd=cwd, env=env)


def wheel(folder, distribution):
    """The wheel of a distribution."""
    [path] = Path(folder).glob(f"{distribution.replace('-', '_')}-[0-9]*.whl")
    return path
