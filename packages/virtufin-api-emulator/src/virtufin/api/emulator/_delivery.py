"""Streams that carry events to those who subscribed, within reach of fault plans."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from virtufin.api.client._transport import Method
from virtufin.api.emulator._backend import Backend
from virtufin.api.emulator._broker import Event
from virtufin.api.emulator._headers import opened
from virtufin.api.emulator._heartbeat import beating
from virtufin.api.emulator._injector import Injector
from virtufin.api.emulator._refusal import invalid


class Delivery:
    """What all subscribing methods do."""

    def __init__(
        self, backend: Backend, faults: Injector, *, hold_headers: bool, heartbeat: float | None
    ) -> None:
        """Takes where events come from.

        Args:
            backend: It.
            faults: What goes wrong with streams.
            hold_headers: Whether response headers wait for the first event.
            heartbeat: Seconds without an event after which an empty item is sent; None for never.
        """
        self._backend = backend
        self._faults = faults
        self._hold_headers = hold_headers
        self._heartbeat = heartbeat

    async def run(
        self, context: Any, method: Method, topics: Iterable[str], item: Callable[[Event], Any]
    ) -> None:
        """Sends every event from now on until the stream ends.

        Args:
            context: The call's.
            method: What was called.
            topics: Which; none means all.
            item: Makes the message that carries an event; None where it is not to be sent.

        Raises:
            RefusedError: The call is refused, or the stream was ended.
        """
        topics = list(topics)
        await self._faults.meet(method.full_name, topics)
        if not all(topics):
            raise invalid("topics must not be empty texts")
        subscription = await self._backend.subscribe(topics)
        with subscription, self._faults.stream(subscription) as stream:
            async with (
                opened(context, stream, hold=self._hold_headers) as writer,
                beating(writer, stream, method.response(), self._heartbeat),
            ):
                stream.cut_if_due()
                while True:
                    message = item(await subscription.next())
                    if message is not None:
                        await stream.before_write()
                        await writer.write(message)
                        stream.wrote()
