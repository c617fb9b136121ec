"""The version of the four distributions, and the places that state it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
DISTRIBUTIONS = (
    "virtufin-api-protos",
    "virtufin-api",
    "virtufin-api-dapr",
    "virtufin-api-emulator",
)
"""In the order of their dependencies, which is the order in which they are published."""
_FORM = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+((a|b|rc)[0-9]+)?(\.dev[0-9]+)?")
_VERSION = re.compile(r"""^(version\s*=\s*)(["'])[^"'\n]*\2""", re.MULTILINE)
_PIN = re.compile(
    r"""(?P<quote>["'])
    (?P<name>virtufin-api[a-z-]*(?:\s*\[[^\]"'\n]*\])?)
    \s*[=<>!~][^;"'\n]*?
    (?P<marker>\s*;[^\n]*?)?
    (?P=quote)""",
    re.VERBOSE,
)
_SAID = re.compile(r"""^__version__ = (["'])([^"'\r\n]*)\1(?=\r?$)""", re.MULTILINE)


class ReleaseError(RuntimeError):
    """The release cannot go on; the text says what to do."""


def read(path: Path) -> str:
    """The text of a file with its own line ends."""
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ReleaseError(f"{path} cannot be read: {error}; restore it with git") from None


def current(root: Path = ROOT) -> str:
    """The version in pyproject.toml of the client."""
    return str(_project(root, "virtufin-api")["version"])


def malformed(version: str) -> str | None:
    """Why this is no version that a release may have; None where it is one."""
    try:
        written = str(Version(version))
    except InvalidVersion:
        return f"{version!r} is no version (PEP 440); such as 1.2.3"
    if version != written:
        return f"{version!r} is written {written} (PEP 440)"
    if not _FORM.fullmatch(version):
        return f"{version!r} is not of the form 1.2.3, 1.2.3a1, 1.2.3b1, 1.2.3rc1 or 1.2.3.dev1"
    return None


def problems(root: Path = ROOT) -> list[str]:
    """Returns the faults of the version, and each place that states another than the client's."""
    version = current(root)
    if wrong := malformed(version):
        return [f"{wrong}: run `scripts/bump_version` with one that is"]
    return [f"{place}: run `scripts/bump_version {version}`" for place in differences(root)]


def differences(root: Path = ROOT) -> list[str]:
    """Each place that says another version than the client's."""
    version, found = current(root), []
    for name in DISTRIBUTIONS:
        project = _project(root, name)
        if project["version"] != version:
            found.append(f"{name} has version {project['version']}, virtufin-api has {version}")
        extras = project.get("optional-dependencies", {}).values()
        for line in [*project["dependencies"], *(line for extra in extras for line in extra)]:
            requirement = _requirement(name, line)
            ours = canonicalize_name(requirement.name) in DISTRIBUTIONS
            if ours and str(requirement.specifier) != f"=={version}":
                found.append(f"{name} needs `{line}`, it must be pinned to =={version}")
        said = [match for path in _modules(root, name) for match in _said(path)]
        if said != [version]:
            found.append(f"the code of {name} has __version__ {' and '.join(said) or 'nowhere'}")
    return found


def places(root: Path = ROOT) -> list[Path]:
    """The files in which the version stands."""
    return [
        path
        for name in DISTRIBUTIONS
        for path in (root / "packages" / name / "pyproject.toml", *_modules(root, name))
    ]


def moved(path: Path, text: str, version: str) -> str:
    """The text of one of these files with another version."""
    if path.suffix == ".toml":
        text = _VERSION.sub(rf"\g<1>\g<2>{version}\g<2>", text)
        return _PIN.sub(rf"\g<quote>\g<name>=={version}\g<marker>\g<quote>", text)
    return _SAID.sub(f'__version__ = "{version}"', text)


def _said(path: Path) -> list[str]:
    return [said for _, said in _SAID.findall(read(path))]


def _modules(root: Path, name: str) -> list[Path]:
    files = sorted((root / "packages" / name / "src").rglob("*.py"))
    return [path for path in files if _said(path)]


def _project(root: Path, name: str) -> dict[str, Any]:
    path = root / "packages" / name / "pyproject.toml"
    try:
        project: dict[str, Any] = tomllib.loads(read(path))["project"]
    except tomllib.TOMLDecodeError as error:
        raise ReleaseError(f"{path} is no TOML: {error}; restore it with git") from None
    return project


def _requirement(name: str, line: str) -> Requirement:
    try:
        return Requirement(line)
    except InvalidRequirement as error:
        raise ReleaseError(f"{name} needs `{line}`, which is no requirement: {error}") from None
