"""The answering side of requests, and how a failure to answer is told.

A responder that fails replies all the same: with type `com.virtufin.client.reply.failed`, extension
`replystatus` (one of the gateway's in-band statuses) and JSON data `{"status", "message"}`. The
asker's call then raises `RequestFailedError` instead of waiting in vain.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from virtufin.api.client._asyncio import call_user
from virtufin.api.client._failures import from_refusal, status_of
from virtufin.api.client._handling import OnEvent
from virtufin.api.client._shown import shown
from virtufin.api.client.errors import (
    ClientClosedError,
    InvalidInputError,
    InvalidReplyError,
    RequestFailedError,
    VirtufinError,
)
from virtufin.api.client.events import PubsubEvent

FAILED = "com.virtufin.client.reply.failed"
"""Type of a reply that tells a failure."""
STATUS = "replystatus"
"""Extension with the status of a failure."""

Reply = Callable[..., Awaitable[object]]


class Responder:
    """Turns what a handler returns, or raises, into a reply."""

    def __init__(self, reply: Reply, handler: OnEvent, redact: Callable[[str], str]) -> None:
        if not callable(handler):
            raise InvalidInputError(f"handler must be a function, not {shown(handler)}")
        self._reply = reply
        self._handler = handler
        self._redact = redact

    async def on_event(self, event: PubsubEvent) -> None:
        """Handles one request; what the handler raises is told to the asker, and raised."""
        asked = is_request(event)
        try:
            result = await call_user(self._handler, event)
        except Exception as error:
            if asked:
                # Closing the client cancels handlers, which Python 3.10 cannot tell from others.
                with suppress(ClientClosedError):
                    await tell(self._reply, event, error, self._redact)
            raise
        if asked:
            await self._answer(event, result)

    async def _answer(self, event: PubsubEvent, result: object) -> None:
        try:
            await self._reply(event, result)
        except InvalidInputError as error:
            # Only then is the way to the asker open, and the result to blame.
            await tell(self._reply, event, error, self._redact)
            raise


async def tell(
    reply: Reply, event: PubsubEvent, error: BaseException, redact: Callable[[str], str]
) -> None:
    """Replies to a request that it failed; `redact` takes secrets out of the error's text."""
    status = status_of(error)
    if isinstance(error, VirtufinError):
        text = str(error.message)
    else:
        text = f"{type(error).__name__}: {error}"
    data = {"status": status, "message": redact(text)}
    await reply(event, data, type=FAILED, extensions={STATUS: status})


def is_request(event: PubsubEvent) -> bool:
    """Whether somebody waits for a reply."""
    return bool(event.reply_topic and event.correlation_id)


def checked_reply(event: PubsubEvent) -> PubsubEvent:
    """Returns a reply.

    Raises:
        RequestFailedError: It tells that the responder failed; also of the class of its status.
    """
    if event.type != FAILED:
        return event
    told: Any = None
    with suppress(InvalidReplyError):
        told = event.data_as_json()
    told = told if isinstance(told, dict) else {}
    status = str(event.extensions.get(STATUS) or told.get("status") or "UNKNOWN")
    raise from_refusal(
        status,
        f"the responder failed: {told.get('message') or status}",
        kind=RequestFailedError,
        topic=event.topic,
    )
