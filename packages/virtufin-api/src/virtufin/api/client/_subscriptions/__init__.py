"""Event streams, and the ways to consume them: iteration, handlers, request and reply."""

# Other packages import from here only, so that its modules can change.
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
