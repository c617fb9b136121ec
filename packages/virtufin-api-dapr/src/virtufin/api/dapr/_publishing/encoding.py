"""Encoding of published payloads as CloudEvents and as the bytes for the sidecar."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, NamedTuple

from google.protobuf.message import Message

from virtufin.api.client._event_template import EventParts
from virtufin.api.client._validation import short_repr
from virtufin.api.client.errors import InvalidInputError
from virtufin.api.dapr._sidecar import JsonTemplate, cloudevents_json
from virtufin.api.protos.cloudevents_pb2 import CloudEvent

# Larger data is encoded in a thread, because its encoding would block the loop for milliseconds.
_LARGE = 64 * 1024
"""Largest size of data that is encoded in the event loop, in bytes."""
# 16, because encoding that many events takes a few milliseconds: larger ones go to a thread.
YIELD_EVERY = 16
"""Number of events encoded between two turns of the event loop."""
# An estimate, because the exact size is known only after the encoding.
_NODE = 16
"""Size of a number, a key or a container inside the data, in bytes."""

_SMALL = frozenset({bool, int, float, type(None)})
_FEW = 64
"""Number of members of a dict that are visited without a look at the size so far."""

Origin = EventParts | bytes
"""An event as it is kept for the report of a failure: its parts, or a serialized CloudEvent."""


class Encoded(NamedTuple):
    """An event as the sidecar gets it, and what it was made from."""

    source: Origin | CloudEvent
    body: bytes
    """The CloudEvent in JSON, for the sidecar."""

    def to_origin(self) -> Origin:
        """Returns the event in the form in which it is kept for the report of a failure."""
        # No messages, because thousands of events may wait, and the garbage collector would visit
        # each message again and again.
        parts = self.source
        if isinstance(parts, bytes):
            return parts
        if isinstance(parts, CloudEvent):
            return parts.SerializeToString()
        # Serialized otherwise, because parts would take more memory than the event: those of a
        # template that serves this event alone, and text with characters of several bytes.
        if parts.template.is_shared and (isinstance(parts.data, bytes) or parts.data.isascii()):
            return parts
        return parts.to_message().SerializeToString()


async def encode(template: JsonTemplate, data: Any) -> Encoded:
    """Encodes an event without blocking the event loop.

    Args:
        template: The attributes of the event.
        data: The payload, or a ready CloudEvent message.

    Raises:
        InvalidInputError: The event cannot be sent; see `to_cloudevent`.
    """
    if _is_large(data):
        return await asyncio.to_thread(_encode_large, template, data)
    return _encode_now(template, data)


async def encode_each(template: JsonTemplate, data: Iterable[Any]) -> AsyncIterator[Encoded]:
    """Yields each encoded event, without blocking the event loop for more than milliseconds.

    Args:
        template: The attributes of all events.
        data: The payloads, or ready CloudEvent messages.

    Raises:
        InvalidInputError: An event cannot be sent, and the text begins with the index of the event.
            Or `data` is a single payload: text, bytes, a mapping, or no iterable.
    """
    # Text, bytes and mappings are refused, because iterating over one payload would publish its
    # letters or keys.
    if isinstance(data, (str, bytes, bytearray, memoryview, Mapping)) or not isinstance(
        data, Iterable
    ):
        raise InvalidInputError(f"data must be several payloads, not {short_repr(data)}")
    for index, one in enumerate(data):
        # Yields, because encoding small events suspends nowhere else.
        if index % YIELD_EVERY == 0:
            await asyncio.sleep(0)
        try:
            event = await encode(template, one)
        except InvalidInputError as error:
            raise InvalidInputError(f"event {index}: {error.message}") from None
        yield event


def _encode_now(template: JsonTemplate, data: Any) -> Encoded:
    try:
        if isinstance(data, Message):
            event = template.require_ready(data)
            return Encoded(event, cloudevents_json.to_json(event))
        parts = template.parts(data)
    # RuntimeError, because iterating over a dict raises it if the caller changes the dict while the
    # thread encodes.
    except RuntimeError as error:
        raise InvalidInputError(f"the data changed while it was being encoded: {error}") from None
    return Encoded(parts, template.write(parts))


def _encode_large(template: JsonTemplate, data: Any) -> Encoded:
    event = _encode_now(template, data)
    # Here, because serializing a large event would block the event loop, too.
    return event._replace(source=event.to_origin())


def _is_large(data: object) -> bool:
    """Returns whether the data is too large to be encoded in the event loop."""
    if isinstance(data, Message):
        return data.ByteSize() > _LARGE
    left = _LARGE
    # Most data is a dict of a few texts and numbers, which needs no list of what is left to visit.
    if isinstance(data, dict) and len(data) < _FEW:
        left -= _NODE * len(data)
        for value in data.values():
            kind = type(value)
            if kind is str:
                left -= len(value)
            elif kind not in _SMALL:
                break
        else:
            return left < 0
        left = _LARGE
    unseen = [data]
    while unseen:
        item = unseen.pop()
        if isinstance(item, (str, bytes, bytearray, memoryview)):
            left -= len(item)
        elif isinstance(item, (dict, list, tuple)):
            left -= _NODE * len(item)
            if left >= 0:
                unseen.extend(item.values() if isinstance(item, dict) else item)
        # At once, because visiting all of a large value would itself block the event loop.
        if left < 0:
            return True
    return False
