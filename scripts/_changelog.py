"""The headings of the changelog: which version is released, and from when on."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import _versions

NAME = "CHANGELOG.md"
_HEADING = re.compile(r"^## [^\r\n]*", re.MULTILINE)
_UNRELEASED = re.compile(r"## \[([^\]]+)\](?: - unreleased)?")


def released(version: str, root: Path = _versions.ROOT) -> str | None:
    """Why the changelog is not that of a release of this version; None where it is."""
    headings = _HEADING.findall(_versions.read(root / NAME))
    first = headings[0] if headings else "(none)"
    if _dated(version, first):
        return None
    return (
        f"the first heading of {NAME} is `{first}`, not `## [{version}]` with its date: "
        f"run `scripts/bump_version {version}`"
    )


def dated(version: str, today: dt.date, root: Path = _versions.ROOT) -> str:
    """The changelog with a date at what is new, or as it is where this version has one.

    Raises:
        ReleaseError: It has nothing to say about the version, or the version is out already.
    """
    text = _versions.read(root / NAME)
    headings = list(_HEADING.finditer(text))
    if headings and _dated(version, headings[0][0]):
        return text
    if any(_dated(version, heading[0]) for heading in headings):
        raise _versions.ReleaseError(
            f"{NAME} has a date at {version} already, and a released version never changes: "
            "give what is new a higher one"
        )
    first = headings[0] if headings else None
    heading = first and _UNRELEASED.fullmatch(first[0])
    if not (first and heading and heading[1] in ("Unreleased", version)):
        raise _versions.ReleaseError(
            f"{NAME} begins with `{first[0] if first else ''}`: write what is new in "
            f"{version} under `## [Unreleased]` first, above it"
        )
    body = text[first.end() : headings[1].start() if headings[1:] else None]
    if not re.search(r"^- ", body, re.MULTILINE):
        raise _versions.ReleaseError(f"{NAME} has no entry under `{first[0]}`: say what is new")
    return f"{text[: first.start()]}## [{version}] - {today.isoformat()}{text[first.end() :]}"


def _dated(version: str, heading: str) -> bool:
    return bool(re.fullmatch(rf"## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d", heading))
