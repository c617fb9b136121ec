"""Encoding of published values to CloudEvents and to the bytes for the sidecar."""

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
"""Largest size in bytes of data that is encoded in the event loop."""
# 16, because encoding that many events takes a few milliseconds: larger ones go to a thread.
YIELD_EVERY = 16
"""Number of events encoded between two turns of the event loop."""
_NODE = 16
"""Bytes that a number, a key or a container inside the data counts as."""


class Encoded(NamedTuple):
    """An event that is encoded for sending."""

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
        metadata: Attributes as text.
        **fields: Further arguments of `to_cloudevent`.

    Raises:
        InvalidInputError: The event cannot be sent; see `to_cloudevent`.
    """
    if is_large(data):
        return await asyncio.to_thread(_encode_now, data, metadata, **fields)
    return _encode_now(data, metadata, **fields)


async def encode_each(data: Iterable[Any], **fields: Any) -> AsyncIterator[Encoded]:
    """Encodes events and yields to the event loop every few milliseconds.

    Args:
        data: The payloads, or ready CloudEvent messages.
        **fields: Further arguments of `to_cloudevent`, for all events.

    Raises:
        InvalidInputError: An event cannot be sent; the text begins with its index. Or `data` is a
            single payload.
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
    """Returns whether the data is large enough to be encoded in a thread."""
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
