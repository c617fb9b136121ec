"""An app at work, whatever server its calls come through."""

from __future__ import annotations

from collections.abc import Callable

from virtufin.api.dapr._dispatch import Dispatch, OnError
from virtufin.api.dapr._publisher import DaprPublisher
from virtufin.api.dapr._registrations import Registrations
from virtufin.api.dapr._replies import Replies
from virtufin.api.dapr._work import Work


class Core:
    """What lives from the start of an app to its end, in one event loop."""

    def __init__(
        self,
        registrations: Registrations,
        *,
        max_concurrency: int,
        on_error: OnError | None,
        publisher: Callable[[str], DaprPublisher],
        redact: Callable[[str], str],
    ) -> None:
        self.work = Work(max_concurrency)
        self._replies = Replies(publisher, redact)
        self.dispatch = Dispatch(registrations, self.work, self._replies, on_error, redact)

    async def drain(self, grace: float) -> None:
        """Ends the work within `grace` seconds and a moment, then the connections."""
        try:
            await self.work.drain(grace)
        finally:
            await self._replies.close()
