"""Checks and filters of tags, the key-value texts that clients attach to workers and connections.

Apart, because both sample backends have tags.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from virtufin.api.emulator._status_errors import InvalidArgumentError

# The limits that both services document.
MOST = 50
LONGEST_KEY = 128
LONGEST_VALUE = 1024


def require_valid_tags(tags: Mapping[str, str]) -> None:
    """Verifies that tags are within the documented limits.

    Raises:
        InvalidArgumentError: A key is empty, or a limit is exceeded.
    """
    if len(tags) > MOST:
        raise InvalidArgumentError(f"at most {MOST} tags, got {len(tags)}")
    for key, value in tags.items():
        if not key:
            raise InvalidArgumentError("a tag's key must not be empty")
        if len(key) > LONGEST_KEY:
            raise InvalidArgumentError(
                f"a tag's key has at most {LONGEST_KEY} characters, got {len(key)}"
            )
        if len(value) > LONGEST_VALUE:
            raise InvalidArgumentError(
                f"a tag's value has at most {LONGEST_VALUE} characters, got {len(value)}"
            )


def matches_filters(tags: Mapping[str, str], filters: Iterable[Any]) -> bool:
    """Returns True if tags match all filters.

    Args:
        tags: Tags of a worker or connection.
        filters: Messages with `key` and `value`. A filter without a value matches any value.
    """
    return all(one.key in tags and (not one.value or tags[one.key] == one.value) for one in filters)
