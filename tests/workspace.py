"""The places of the workspace's parts, for the tests that read them."""

import importlib
import sys
from pathlib import Path

from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ROOT / "packages"
DISTRIBUTIONS = sorted(path.parent.name for path in PACKAGES.glob("*/pyproject.toml"))


def pyproject(distribution):
    """The parsed pyproject.toml of a distribution."""
    return tomllib.loads((PACKAGES / distribution / "pyproject.toml").read_text())


def metadata(distribution):
    """The [project] table of a distribution."""
    return pyproject(distribution)["project"]


def requirements(distribution):
    """Returns the requirements of a distribution, its extras included."""
    project = metadata(distribution)
    lines = list(project["dependencies"])
    for extra in project.get("optional-dependencies", {}).values():
        lines += extra
    return [Requirement(line) for line in lines]


def script(name):
    """A module of scripts/."""
    folder = str(ROOT / "scripts")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)
