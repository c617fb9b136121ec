"""Dapr's state query language, for values that are JSON documents.

A query is `{"filter": ..., "sort": [{"key": ..., "order": "ASC"|"DESC"}], "page": {"limit": n,
"token": "..."}}`. Every part is optional. Filters and sort keys name a part of a value by its path:
names with dots between them. A value that is not JSON, or does not have the path, matches no
comparison. The token of a page is the number of entries before the page.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .backend import Entry

# A marker of its own, because None is a legal JSON value.
_MISSING = object()
_ORDERED = {"GT": operator.gt, "GTE": operator.ge, "LT": operator.lt, "LTE": operator.le}


class QueryError(ValueError):
    """Raised if a query is invalid. The text gives the reason."""


@dataclass(frozen=True)
class Query:
    """A parsed query.

    `matches` returns True for a value that the filter accepts. `sort` has a path for each sort key,
    and True for descending order. `limit` is the size of a page; 0 means no limit. `offset` is the
    number of entries before the page.
    """

    matches: Callable[[Any], bool]
    sort: tuple[tuple[tuple[str, ...], bool], ...]
    limit: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> Query:
        """Parses a query.

        Args:
            text: The query as JSON.

        Raises:
            QueryError: The text is not a valid query.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise QueryError(f"not JSON: {error}") from error
        _require_object(document, "a query")
        _require_only(document, {"filter", "sort", "page"}, "a query")
        page = _require_object(document.get("page", {}), "page")
        _require_only(page, {"limit", "token"}, "page")
        limit = page.get("limit", 0)
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
            raise QueryError(f"page.limit is a number from 0 up, got {limit!r}")
        token = page.get("token", "")
        if not isinstance(token, str) or (token and not token.isdecimal()):
            raise QueryError(f"page.token is the text of an offset, got {token!r}")
        return cls(
            matches=_parse_filter(document.get("filter", {})),
            sort=_parse_sort(document.get("sort", [])),
            limit=limit,
            offset=int(token or 0),
        )

    def run(self, entries: Iterable[Entry]) -> list[Entry]:
        """Returns the matching entries of the page, in the order of the sort keys."""
        found = [(entry, _parse_document(entry.value)) for entry in entries]
        found = [pair for pair in found if self.matches(pair[1])]
        # From the last key to the first, because each sort is stable and keeps the order within
        # equal values.
        for path, descending in reversed(self.sort):
            # Sorted separately, because values without the path come last in both orders.
            with_path = [pair for pair in found if _look_up(pair[1], path) is not _MISSING]
            without = [pair for pair in found if _look_up(pair[1], path) is _MISSING]

            def key(pair: tuple[Entry, Any], path: tuple[str, ...] = path) -> tuple[int, Any]:
                return _make_sort_key(_look_up(pair[1], path))

            found = sorted(with_path, key=key, reverse=descending) + without
        end = self.offset + self.limit if self.limit else None
        return [entry for entry, _ in found[self.offset : end]]


def _parse_document(value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        # No error, because a service may store values that are not JSON beside others that are.
        return _MISSING


def _look_up(document: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if not isinstance(document, dict) or name not in document:
            return _MISSING
        document = document[name]
    return document


def _make_sort_key(value: Any) -> tuple[int, Any]:
    """Returns a sort key for a value: numbers come first, then texts, then the rest as JSON."""
    if _is_number(value):
        return 0, value
    if isinstance(value, str):
        return 1, value
    return 2, json.dumps(value, sort_keys=True)


def _is_number(value: Any) -> bool:
    # Booleans are excluded, because Python's are numbers and JSON's are not.
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _are_equal(left: Any, right: Any) -> bool:
    """Returns True if two values are equal in JSON, where true is not equal to 1."""
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def _parse_filter(document: Any) -> Callable[[Any], bool]:
    _require_object(document, "filter")
    if not document:
        return lambda _: True
    if len(document) > 1:
        raise QueryError(f"a filter has one operator, got {', '.join(document)}")
    ((name, operand),) = document.items()
    if name in ("AND", "OR"):
        if not isinstance(operand, list) or not operand:
            raise QueryError(f"{name} takes a list of filters")
        parts = [_parse_filter(part) for part in operand]
        combine = all if name == "AND" else any
        return lambda value: combine(part(value) for part in parts)
    return _parse_comparison(name, operand)


def _parse_comparison(name: str, operand: Any) -> Callable[[Any], bool]:
    if name not in {"EQ", "NEQ", "IN", *_ORDERED}:
        raise QueryError(
            f"unknown operator {name!r}; there are EQ, NEQ, GT, GTE, LT, LTE, IN, AND, OR"
        )
    _require_object(operand, name)
    if len(operand) != 1:
        raise QueryError(f"{name} takes one path and its value")
    ((dotted, wanted),) = operand.items()
    path = _parse_path(dotted)
    if name == "IN":
        if not isinstance(wanted, list):
            raise QueryError("IN takes a list of values")
        return lambda value: any(_are_equal(_look_up(value, path), one) for one in wanted)
    if name == "EQ":
        return lambda value: _are_equal(_look_up(value, path), wanted)
    if name == "NEQ":
        return lambda value: (
            _look_up(value, path) is not _MISSING and not _are_equal(_look_up(value, path), wanted)
        )
    if not _is_number(wanted) and not isinstance(wanted, str):
        raise QueryError(f"{name} compares with a number or a text, got {wanted!r}")
    return lambda value: _compare_ordered(_ORDERED[name], _look_up(value, path), wanted)


def _compare_ordered(compare: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    comparable = (_is_number(left) and _is_number(right)) or (
        isinstance(left, str) and isinstance(right, str)
    )
    return comparable and compare(left, right)


def _parse_sort(document: Any) -> tuple[tuple[tuple[str, ...], bool], ...]:
    if not isinstance(document, list):
        raise QueryError("sort is a list of {key, order}")
    keys = []
    for item in document:
        _require_only(_require_object(item, "sort"), {"key", "order"}, "sort")
        order = item.get("order", "ASC")
        if order not in ("ASC", "DESC"):
            raise QueryError(f"order is ASC or DESC, got {order!r}")
        keys.append((_parse_path(item.get("key")), order == "DESC"))
    return tuple(keys)


def _parse_path(dotted: Any) -> tuple[str, ...]:
    if not isinstance(dotted, str) or not all(dotted.split(".")):
        raise QueryError(f"a path is dotted names, got {dotted!r}")
    return tuple(dotted.split("."))


def _require_object(document: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(document, dict):
        raise QueryError(f"{what} is an object, got {document!r}")
    return document


def _require_only(document: Mapping[str, Any], legal: set[str], what: str) -> None:
    if unknown := sorted(set(document) - legal):
        # Rejected, because a misspelled part that is ignored would return the wrong entries.
        raise QueryError(f"{what} has no {unknown[0]!r}; it has {', '.join(sorted(legal))}")
