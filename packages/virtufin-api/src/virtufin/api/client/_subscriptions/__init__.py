"""Event streams, and the ways to consume them: iteration, handlers, request and reply."""

# Other packages import from here only, so that its modules can change.
from typing import TYPE_CHECKING

from virtufin.api.client._lazy import at_first_use

# At their first use, because many programs only call backends or read state.
if TYPE_CHECKING:
    from .event_stream import EventStream
    from .handlers import (
        EventHandler,
        Handler,
        HandlerOptions,
        HandlerSubscription,
        OnEvent,
        StreamEventHandler,
    )
    from .request_reply import ReplyRouter, Responder, is_request, send_failure
    from .state import SubscriptionState, SubscriptionStats
    from .subscription import Subscription
else:
    __getattr__ = at_first_use(
        __name__,
        {
            "event_stream": ("EventStream",),
            "handlers": (
                "EventHandler",
                "Handler",
                "HandlerOptions",
                "HandlerSubscription",
                "OnEvent",
                "StreamEventHandler",
            ),
            "request_reply": ("ReplyRouter", "Responder", "is_request", "send_failure"),
            "state": ("SubscriptionState", "SubscriptionStats"),
            "subscription": ("Subscription",),
        },
    )

__all__ = [
    "EventHandler",
    "EventStream",
    "Handler",
    "HandlerOptions",
    "HandlerSubscription",
    "OnEvent",
    "ReplyRouter",
    "Responder",
    "StreamEventHandler",
    "Subscription",
    "SubscriptionState",
    "SubscriptionStats",
    "is_request",
    "send_failure",
]
