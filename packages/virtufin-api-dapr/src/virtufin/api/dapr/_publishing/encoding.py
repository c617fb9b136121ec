"""From what people publish to the CloudEvent and the bytes that go out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, NamedTuple

from google.protobuf.message import Message

from virtufin.api.client._validation import short_repr
from virtufin.api.client.errors import InvalidInputError
from virtufin.api.client.events import to_cloudevent
from virtufin.api.dapr._sidecar import cloudevents_json

_LARGE = 64 * 1024
"""Bytes above which encoding takes milliseconds, so that a thread does it."""
YIELD_EVERY = 16
"""Events encoded between two turns of the event loop: a few milliseconds, as larger ones go to a
thread."""
_NODE = 16
"""Bytes that a number, a key or a container inside the data counts as."""


class Encoded(NamedTuple):
    """One event, ready to go out.

    As bytes, since thousands of these may wait, and the garbage collector would look at each
    message again and again.
    """

    event: bytes
    """The CloudEvent in protobuf, for whoever is told that it failed."""
    body: bytes
    """The CloudEvent in JSON, for the sidecar."""


async def encoded(data: Any, metadata: Mapping[str, str] | None, **fields: Any) -> Encoded:
    """Encodes an event without holding up the loop.

    Raises:
        InvalidInputError: It cannot be sent, see `to_cloudevent`.
    """
    if is_large(data):
        return await asyncio.to_thread(_encoded, data, metadata, **fields)
    return _encoded(data, metadata, **fields)


async def encoded_each(data: Iterable[Any], **fields: Any) -> AsyncIterator[Encoded]:
    """Encodes events, a few milliseconds at a time.

    Raises:
        InvalidInputError: One of them cannot be sent; the text begins with its index.
    """
    if isinstance(data, (str, bytes, bytearray, memoryview, Mapping)) or not isinstance(
        data, Iterable
    ):
        raise InvalidInputError(f"data must be several payloads, not {short_repr(data)}")
    for index, one in enumerate(data):
        if index % YIELD_EVERY == 0:
            await asyncio.sleep(0)
        try:
            event = await encoded(one, None, **fields)
        except InvalidInputError as error:
            raise InvalidInputError(f"event {index}: {error.message}") from None
        yield event


def _encoded(data: Any, metadata: Mapping[str, str] | None, **fields: Any) -> Encoded:
    try:
        event = to_cloudevent(data, metadata, **fields)
    except RuntimeError as error:
        raise InvalidInputError(f"the data changed while it was being encoded: {error}") from None
    return Encoded(event.SerializeToString(), cloudevents_json.to_json(event))


def is_large(data: object) -> bool:
    """Whether encoding takes long; looks no further than it must to tell."""
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
        if left < 0:
            return True
    return False
