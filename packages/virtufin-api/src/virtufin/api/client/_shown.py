"""Values in error texts."""

from __future__ import annotations

import reprlib


def shown(value: object) -> str:
    """A short representation of any value, also of one whose `repr` is huge or fails."""
    try:
        return reprlib.repr(value)
    except Exception:  # noqa: BLE001 - whatever it is, it is only to be named
        return f"<{type(value).__name__}>"
