"""Why a request may have been refused: which of its fields, and what was meant.

Only ever asked after the gateway has refused; what it accepts is its own to decide.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from virtufin.api.client._protobuf import ANY, JSON_TYPES, WRAPPERS, Field, message_type

from .encoder import Encoder, as_object, is_object

_SHOWN = 12


class Unknown(NamedTuple):
    """A name that is not there."""

    what: str
    """Where it stands, such as `code_source.urll`."""
    text: str
    """The sentence about it."""
    nearest: tuple[str, ...]
    """The most similar names that are there."""


def unknown_fields(encoder: Encoder, message: Descriptor, request: object) -> Iterator[Unknown]:
    """The fields of a request that its message does not have."""
    yield from _unknown(encoder, message, request, "")


def unknown_name(what: str, name: str, owner: str, names: Sequence[str]) -> Unknown:
    """A sentence about a name that `owner` does not have."""
    near = nearest(name, names)
    listed = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    meant = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    has = f" It has {listed}." if names else ""
    return Unknown(name, f"{owner} has no {what} {name!r}{meant or '.'}{has}", near)


def nearest(name: str, names: Iterable[str]) -> tuple[str, ...]:
    """Names that are so similar that they may have been meant, the most similar first."""
    plain = {known: _plain(known) for known in names}
    same = [known for known, text in plain.items() if text == _plain(name)]
    close = difflib.get_close_matches(_plain(name), plain.values(), n=3, cutoff=0.6)
    similar = [known for text in close for known, plained in plain.items() if plained == text]
    return tuple(dict.fromkeys(same + similar))


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _unknown(encoder: Encoder, message: Descriptor, value: object, path: str) -> Iterator[Unknown]:
    if message.full_name in JSON_TYPES or message.full_name in WRAPPERS | {ANY}:
        return
    if isinstance(value, Message) or not is_object(value):
        return
    known = encoder.known(message)
    for key, item in as_object(value).items():
        field = known.get(key) if isinstance(key, str) else None
        where = f"{path}.{key}" if path else str(key)
        if field is not None:
            for inner, one in _inside(field, item):
                yield from _unknown(encoder, inner, one, where)
        elif not str(key).startswith(("@", "[")):
            names = list(dict.fromkeys(each.name for each in known.values()))
            found = unknown_name("field", str(key), message.name, names)
            yield found._replace(what=where)


def _inside(field: Field, value: Any) -> Iterator[tuple[Descriptor, Any]]:
    """The messages that a field holds, with their descriptor."""
    if field.value is not None:
        if field.value.message_type is not None and isinstance(value, Mapping):
            for item in value.values():
                yield message_type(field.value), item
    elif field.descriptor.message_type is not None:
        many = field.repeated and isinstance(value, (list, tuple))
        for item in value if many else (value,):
            yield message_type(field.descriptor), item
