"""Arguments and results of handlers: requests of methods and bindings, and outcomes of events."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from virtufin.api.client._json import from_json
from virtufin.api.client.errors import InvalidReplyError, InvalidRequestError


class Outcome(enum.IntEnum):
    """The answer to the sidecar for one event: done, deliver again, or drop."""

    # These numbers, because they are sent as the status of Dapr's `TopicEventResponse`.
    SUCCESS = 0
    RETRY = 1
    DROP = 2


class Drop(Exception):  # noqa: N818 - the outcome's name in Dapr
    """An exception that a handler raises to drop an event, if another delivery would not help.

    If the subscription has a dead-letter topic, the sidecar puts the event there; otherwise the
    event is lost. If the event is a request, which carries `replytopic` and `correlationid`, the
    app reports the failure to the requester. The requester's call then raises `RequestFailedError`.
    That error is also an instance of the class of the `VirtufinError` that this exception was
    raised from, or else of `InvalidRequestError`.

    Args:
        reason: Reason for the log and the requester. Other values are converted to text.

    Example:
        >>> from virtufin.api.dapr import DaprApp, Drop
        >>> app = DaprApp()
        >>> @app.subscribe("orders")
        ... async def on_order(event):
        ...     if event.data_as_json()["quantity"] <= 0:
        ...         raise Drop("an order needs a quantity above zero")
    """

    # A class attribute too, because a subclass may not call `__init__`.
    reason: str = ""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = str(reason)


@dataclass(frozen=True)
class _Request:
    data: bytes
    """The payload."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Texts that the sidecar sent beside the payload: for a method call, the gRPC metadata with
    lower-case keys; for a binding, the metadata of the component."""

    def data_as_text(self) -> str:
        """Returns the payload decoded as UTF-8.

        Raises:
            InvalidRequestError: The payload is not UTF-8.
        """
        # InvalidRequestError, because the caller sent the data: if the handler does not catch this
        # error, the app answers INVALID_ARGUMENT.
        try:
            return self.data.decode()
        except UnicodeDecodeError as error:
            raise InvalidRequestError(f"the data is not UTF-8: {error}") from None

    def data_as_json(self) -> Any:
        """Returns the payload decoded as JSON.

        Raises:
            InvalidRequestError: The payload is not JSON.
        """
        try:
            return from_json(self.data_as_text(), "the data")
        except InvalidReplyError as error:
            raise InvalidRequestError(error.message) from None


@dataclass(frozen=True)
class InvocationRequest(_Request):
    """A call of one of the app's methods, as the sidecar has passed it on from another service.

    Example:
        >>> from virtufin.api.dapr import InvocationRequest
        >>> InvocationRequest(b'{"id": 7}', method="cancel").data_as_json()
        {'id': 7}
    """

    method: str = ""
    """Name of the called method."""
    content_type: str = ""
    """Media type of the payload; empty if the caller gave none."""
    verb: str = ""
    """HTTP verb of the caller, such as `POST`; empty if the call carries none."""
    query: str = ""
    """Query string of the caller without the question mark; empty if the call carries none."""


@dataclass(frozen=True)
class BindingRequest(_Request):
    """A delivery of an input binding.

    Example:
        >>> from virtufin.api.dapr import BindingRequest
        >>> BindingRequest(b"tick", name="clock").data_as_text()
        'tick'
    """

    name: str = ""
    """Name of the binding component."""
