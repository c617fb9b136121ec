"""Sets the version of all distributions, their pins and the changelog's heading in one step."""

from __future__ import annotations

import argparse
import datetime as dt
import shutil
import sys
from pathlib import Path

import _changelog
import _git
import _versions
from packaging.version import Version


def bump(version: str, root: Path = _versions.ROOT, today: dt.date | None = None) -> list[Path]:
    """Writes a version wherever it stands, and dates its heading in the changelog.

    Returns:
        The files that changed.

    Raises:
        ReleaseError: The version is none, or lower than the present one, the changelog has nothing
            to say about it, or other changes would get into the release: nothing is written then.
            Or a place could not be written.
    """
    if wrong := _versions.malformed(version):
        raise _versions.ReleaseError(wrong)
    old = _versions.current(root)
    if Version(version) < Version(old):
        raise _versions.ReleaseError(f"{version} is lower than the present version, {old}")
    today = today or dt.datetime.now(dt.timezone.utc).date()
    texts = {root / _changelog.NAME: _changelog.dated(version, today, root)}
    for path in _versions.places(root):
        texts[path] = _versions.moved(path, _versions.read(path), version)
    if others := _others(root, texts, version):
        raise _versions.ReleaseError(
            f"{', '.join(others)}: changed and not committed, so the commit of the release would "
            "have it too: commit or undo it first"
        )
    changed = [path for path, text in texts.items() if _versions.read(path) != text]
    for path in changed:
        _replace(path, texts[path])
    if left := _versions.differences(root):
        places = "".join(f"\n- {place}" for place in left)
        raise _versions.ReleaseError(f"write {version} there by hand, and repeat:{places}")
    return changed


def _others(root: Path, texts: dict[Path, str], version: str) -> list[str]:
    """Changed files, but the changelog and those in which nothing but a version is changed."""
    found = []
    for name in _git.changes(root):
        path, before = root / name, _git.committed(root, name)
        if name == _changelog.NAME:
            continue
        if path in texts and before is not None:
            was = _versions.moved(path, before, version)
            if was.splitlines() == texts[path].strip("\n").splitlines():
                continue
        found.append(name)
    return found


def _replace(path: Path, text: str) -> None:
    """Writes a file so that an interruption leaves the old one or the new one."""
    new = path.with_name(f"{path.name}.new")
    try:
        new.write_bytes(text.encode())
        shutil.copymode(path, new)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def main() -> int:
    """Says which files changed; they are yours to commit."""
    parser = argparse.ArgumentParser(prog="scripts/bump_version", description=__doc__)
    parser.add_argument("version", help="such as 1.2.3")
    version = parser.parse_args().version
    for path in bump(version):
        print(f"changed {path.relative_to(_versions.ROOT)}")
    print(f"everything says {version}; commit it, then tag the commit v{version} and push both")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except _versions.ReleaseError as error:
        sys.exit(f"scripts/bump_version: {error}")
