"""Encoding of published payloads as CloudEvents and as the bytes for the sidecar."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, NamedTuple

from google.protobuf.message import Message

from virtufin.api.client._validation import short_repr
from virtufin.api.client.errors import InvalidInputError
from virtufin.api.client.events import to_cloudevent
from virtufin.api.dapr._sidecar import cloudevents_json

# Larger data is encoded in a thread, because its encoding would block the loop for milliseconds.
_LARGE = 64 * 1024
"""Largest size of data that is encoded in the event loop, in bytes."""
# 16, because encoding that many events takes a few milliseconds: larger ones go to a thread.
YIELD_EVERY = 16
"""Number of events encoded between two turns of the event loop."""
# An estimate, because the exact size is known only after the encoding.
_NODE = 16
"""Size of a number, a key or a container inside the data, in bytes."""


class Encoded(NamedTuple):
    """An event in the two forms that publishing needs."""

    # Bytes and not messages, because thousands of these may wait, and the garbage collector would
    # visit each message again and again.
    event: bytes
    """The CloudEvent in protobuf, for the report of a failure."""
    body: bytes
    """The CloudEvent in JSON, for the sidecar."""


async def encode(data: Any, metadata: Mapping[str, str] | None, **fields: Any) -> Encoded:
    """Encodes an event without blocking the event loop.

    Args:
        data: The payload, or a ready CloudEvent message.
        metadata: Attributes as text, as in `to_cloudevent`.
        **fields: Further keyword arguments of `to_cloudevent`.

    Raises:
        InvalidInputError: The event cannot be sent; see `to_cloudevent`.
    """
    if is_large(data):
        return await asyncio.to_thread(_encode_now, data, metadata, **fields)
    return _encode_now(data, metadata, **fields)


async def encode_each(data: Iterable[Any], **fields: Any) -> AsyncIterator[Encoded]:
    """Yields each encoded event, without blocking the event loop for more than milliseconds.

    Args:
        data: The payloads, or ready CloudEvent messages.
        **fields: Further keyword arguments of `to_cloudevent`, for all events.

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
            event = await encode(one, None, **fields)
        except InvalidInputError as error:
            raise InvalidInputError(f"event {index}: {error.message}") from None
        yield event


def _encode_now(data: Any, metadata: Mapping[str, str] | None, **fields: Any) -> Encoded:
    try:
        event = to_cloudevent(data, metadata, **fields)
    # RuntimeError, because iterating over a dict raises it if the caller changes the dict while the
    # thread encodes.
    except RuntimeError as error:
        raise InvalidInputError(f"the data changed while it was being encoded: {error}") from None
    return Encoded(event.SerializeToString(), cloudevents_json.to_json(event))


def is_large(data: object) -> bool:
    """Returns whether the data is too large to be encoded in the event loop."""
    if isinstance(data, Message):
        return data.ByteSize() > _LARGE
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
