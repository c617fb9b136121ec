"""Names in error texts."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MOST = 5


def nearest(name: str, names: Iterable[str]) -> str:
    """The names that are there, the most similar first, five at most; "none" where none is."""
    known = sorted(names)
    similar = difflib.get_close_matches(name, known, n=_MOST, cutoff=0.0)
    return ", ".join(similar) or "none"
