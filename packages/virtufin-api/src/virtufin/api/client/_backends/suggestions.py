"""Suggestions for a rejected request: the unknown name in the request, and similar names.

Used only after the gateway has rejected a request. This client itself never rejects an unknown
name, because the gateway or backend may be newer than the descriptors that the client has.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from virtufin.api.client._protobuf import ANY, JSON_TYPES, WRAPPERS, Field, message_type

from .encoder import RequestEncoder, as_object, is_object

# At most this many names, because an error must stay readable.
_SHOWN = 12


class Suggestion(NamedTuple):
    """A suggestion for an unknown name in a request."""

    what: str
    """Path of the unknown field, such as `code_source.urll`, or the unknown method or service."""
    text: str
    """Sentence to add to the error message."""
    nearest: tuple[str, ...]
    """The most similar names that exist."""


def unknown_fields(
    encoder: RequestEncoder, message: Descriptor, request: object
) -> Iterator[Suggestion]:
    """Yields a suggestion for each field of a request that its message does not have.

    Args:
        encoder: The encoder of the backend, which knows the fields of its messages.
        message: Descriptor of the request.
        request: The request as the user gave it.
    """
    yield from _unknown_fields(encoder, message, request, "")


def unknown_name(what: str, name: str, owner: str, names: Sequence[str]) -> Suggestion:
    """Returns the suggestion for a name that `owner` does not have.

    Args:
        what: Kind of the name: `field`, `method` or `service`.
        name: The unknown name.
        owner: The message, service or gateway that lacks the name.
        names: The names that `owner` has.
    """
    near = closest_names(name, names)
    listed = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    meant = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    has = f" It has {listed}." if names else ""
    return Suggestion(name, f"{owner} has no {what} {name!r}{meant or '.'}{has}", near)


def closest_names(name: str, names: Iterable[str]) -> tuple[str, ...]:
    """Returns the names that are similar to `name`, the most similar first."""
    # Compared without separators and case, because people mix up the spelling conventions.
    plain = {known: _plain(known) for known in names}
    same = [known for known, text in plain.items() if text == _plain(name)]
    close = difflib.get_close_matches(_plain(name), plain.values(), n=3, cutoff=0.6)
    similar = [known for text in close for known, plained in plain.items() if plained == text]
    return tuple(dict.fromkeys(same + similar))


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _unknown_fields(
    encoder: RequestEncoder, message: Descriptor, value: object, path: str
) -> Iterator[Suggestion]:
    # Not checked, because the JSON of these types has no proto field names.
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
                yield from _unknown_fields(encoder, inner, one, where)
        # `@type` belongs to Any, and `[...]` names a protobuf extension: neither is a field.
        elif not str(key).startswith(("@", "[")):
            names = list(dict.fromkeys(each.name for each in known.values()))
            found = unknown_name("field", str(key), message.name, names)
            yield found._replace(what=where)


def _inside(field: Field, value: Any) -> Iterator[tuple[Descriptor, Any]]:
    """Yields the message values in a field, each with its descriptor."""
    if field.value is not None:
        if field.value.message_type is not None and isinstance(value, Mapping):
            for item in value.values():
                yield message_type(field.value), item
    elif field.descriptor.message_type is not None:
        many = field.repeated and isinstance(value, (list, tuple))
        for item in value if many else (value,):
            yield message_type(field.descriptor), item
