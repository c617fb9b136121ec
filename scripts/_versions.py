"""The one version of the four distributions: where it stands, and what says another."""

from __future__ import annotations

import datetime as dt
import re
import sys
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
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
_UNRELEASED = re.compile(r"^## \[([^\]]+)\](?: - unreleased)?$", re.MULTILINE)


class ReleaseError(RuntimeError):
    """The release cannot go on; the text says what to do."""


def current(root: Path = ROOT) -> str:
    """The version in pyproject.toml of the client."""
    return str(_project(root, "virtufin-api")["version"])


def problems(root: Path = ROOT) -> list[str]:
    """Each place that says another version than the client's, as a sentence."""
    version, found = current(root), []
    for name in DISTRIBUTIONS:
        project = _project(root, name)
        if project["version"] != version:
            found.append(f"{name} has version {project['version']}, virtufin-api has {version}")
        extras = project.get("optional-dependencies", {}).values()
        for line in [*project["dependencies"], *(line for extra in extras for line in extra)]:
            requirement = Requirement(line)
            if requirement.name in DISTRIBUTIONS and str(requirement.specifier) != f"=={version}":
                found.append(f"{name} needs `{line}`, it must be pinned to =={version}")
        said = [match for path in _modules(root, name) for match in _said(path)]
        if said != [version]:
            found.append(f"the code of {name} has __version__ {' and '.join(said) or 'nowhere'}")
    return [f"{problem}: run `scripts/bump_version {version}`" for problem in found]


def bump(version: str, root: Path = ROOT, today: dt.date | None = None) -> list[Path]:
    """Writes a version wherever it stands, and dates its heading in the changelog.

    Returns:
        The files that changed.

    Raises:
        ReleaseError: The version is none, or lower than the present one, or the changelog has
            nothing to say about it. Nothing is written then.
    """
    old = current(root)
    try:
        if version != str(Version(version)):
            raise ReleaseError(f"{version!r} is written {Version(version)} (PEP 440)")
    except InvalidVersion:
        raise ReleaseError(f"{version!r} is no version (PEP 440); such as 1.2.3") from None
    if Version(version) < Version(old):
        raise ReleaseError(f"{version} is lower than the present version, {old}")
    today = today or dt.datetime.now(dt.timezone.utc).date()
    texts = {root / "CHANGELOG.md": _dated(root, version, today)}
    for name in DISTRIBUTIONS:
        path = root / "packages" / name / "pyproject.toml"
        text = re.sub(r'^(version = )"[^"]*"', rf'\g<1>"{version}"', path.read_text(), flags=re.M)
        texts[path] = _PIN.sub(rf'\g<1>=={version}"', text)
        for module in _modules(root, name):
            texts[module] = _SAID.sub(f'__version__ = "{version}"', module.read_text())
    changed = [path for path, text in texts.items() if path.read_text() != text]
    for path in changed:
        path.write_text(texts[path])
    return changed


def released(version: str, root: Path = ROOT) -> str | None:
    """Why the changelog is not that of a release of this version; None where it is."""
    headings = re.findall(r"^## .*$", (root / "CHANGELOG.md").read_text(), re.MULTILINE)
    first = headings[0] if headings else "(none)"
    if re.fullmatch(rf"## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d", first):
        return None
    return (
        f"the first heading of CHANGELOG.md is `{first}`, not `## [{version}]` with its date: "
        f"run `scripts/bump_version {version}`"
    )


_PIN = re.compile(r'("virtufin-api[a-z-]*)[=<>!~][^"]*"')
_SAID = re.compile(r'^__version__ = "([^"]*)"$', re.MULTILINE)


def _said(path: Path) -> list[str]:
    return _SAID.findall(path.read_text())


def _modules(root: Path, name: str) -> list[Path]:
    files = sorted((root / "packages" / name / "src").rglob("*.py"))
    return [path for path in files if _said(path)]


def _dated(root: Path, version: str, today: dt.date) -> str:
    text = (root / "CHANGELOG.md").read_text()
    if released(version, root) is None:
        return text
    first = next(iter(re.finditer(r"^## .*$", text, re.MULTILINE)), None)
    heading = first and _UNRELEASED.fullmatch(first[0])
    if not (first and heading and heading[1] in ("Unreleased", version)):
        raise ReleaseError(
            f"CHANGELOG.md begins with `{first[0] if first else ''}`: write what is new in "
            f"{version} under `## [Unreleased]` first, above it"
        )
    body = text[first.end() :].partition("\n## ")[0]
    if not re.search(r"^- ", body, re.MULTILINE):
        raise ReleaseError(f"CHANGELOG.md has no entry under `{first[0]}`: say what is new")
    return f"{text[: first.start()]}## [{version}] - {today.isoformat()}{text[first.end() :]}"


def _project(root: Path, name: str) -> dict[str, Any]:
    text = (root / "packages" / name / "pyproject.toml").read_text()
    project: dict[str, Any] = tomllib.loads(text)["project"]
    return project
