"""Records of what rows of the version matrix have proven: a file for each, until merged.

They are in .nox/records, or where VIRTUFIN_MATRIX_RECORDS says.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

_FAILED: dict[str, Any] = {"failed": True}


def begin(name: str) -> None:
    """Notes that a row is run: it counts as failed until it has proven something."""
    prove(name, _FAILED)


def prove(name: str, what: dict[str, Any]) -> None:
    """Notes what a row has proven."""
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(what, indent=1))


def merged(before: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """Returns what rows of these names have proven: before, and in the runs that were noted.

    A row that failed since has proven nothing.
    """
    noted = {path.stem: json.loads(path.read_text()) for path in _folder().glob("*.json")}
    both = before | noted
    return {name: both[name] for name in sorted(names & set(both)) if both[name] != _FAILED}


def _folder() -> Path:
    root = Path(__file__).resolve().parent.parent
    return Path(os.environ.get("VIRTUFIN_MATRIX_RECORDS") or root / ".nox/records")
