"""How the handling of an event ends, and how a handler says so."""

from __future__ import annotations

import enum


class Outcome(enum.IntEnum):
    """What the sidecar is answered; the numbers are those of `TopicEventResponse`."""

    SUCCESS = 0
    RETRY = 1
    DROP = 2


class Drop(Exception):  # noqa: N818 - the outcome's name in Dapr
    """Raised by a handler to give an event up: handling it again would not help.

    The sidecar puts the event on the dead-letter topic where the subscription has one, and
    forgets it otherwise. Who asked (the event carries `replytopic` and `correlationid`) is told:
    its call raises `RequestFailedError`, which is also an `InvalidRequestError`, or of the class
    of the `VirtufinError` this was raised from.

    Args:
        reason: Why; logged, and told to who asked. What is no text counts as its text.

    Example:
        >>> from virtufin.api.dapr import DaprApp, Drop
        >>> app = DaprApp()
        >>> @app.subscribe("orders")
        ... async def on_order(event):
        ...     if event.data_as_json()["quantity"] <= 0:
        ...         raise Drop("an order needs a quantity above zero")
    """

    reason: str = ""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = str(reason)
