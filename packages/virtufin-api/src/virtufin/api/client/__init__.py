"""Asyncio client of the Virtufin.Api gateway.

Example:
    >>> import asyncio
    >>> from virtufin.api.client import ApiClient
    >>> async def main():
    ...     async with ApiClient(host="memory:") as client:
    ...         await client.save_state_async("workmanager", "greeting", "hello")
    ...         state = await client.get_state_async("workmanager", "greeting")
    ...         return state["value"]
    >>> asyncio.run(main())
    'hello'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from virtufin.api.client._client import ApiClient
from virtufin.api.client._config import ConfigClient
from virtufin.api.client._deadlines import Deadline, deadline
from virtufin.api.client._gateway import GatewayClient, ServiceProxy
from virtufin.api.client._lazy import at_first_use
from virtufin.api.client._pubsub import PubsubClient
from virtufin.api.client._settings import (
    KeepaliveSettings,
    ReconnectSettings,
    RetrySettings,
    SubscriptionSettings,
    TlsSettings,
)
from virtufin.api.client._state import StateClient
from virtufin.api.client._types import NOT_GIVEN, NotGiven
from virtufin.api.client._version import __version__
from virtufin.api.client._wire import Wire
from virtufin.api.client.errors import (
    AbortedError,
    AlreadyExistsError,
    ApiKeyError,
    CallCancelledError,
    ClientClosedError,
    ConflictError,
    DataLossError,
    DeadlineExceededError,
    FailedPreconditionError,
    InternalError,
    InvalidInputError,
    InvalidReplyError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RequestFailedError,
    ResourceExhaustedError,
    StreamFailedError,
    StreamInterruptedError,
    UnauthenticatedError,
    UnavailableError,
    UnknownError,
    UnsupportedError,
    VirtufinError,
    WrongLoopError,
)
from virtufin.api.client.events import PubsubEvent

# For type checkers only: not every program uses these modules, and `virtufin.api.dapr` is another
# distribution, which may not be installed and imports this package.
if TYPE_CHECKING:
    from virtufin.api.client._protobuf import Difference
    from virtufin.api.client._subscriptions import (
        EventHandler,
        HandlerSubscription,
        StreamEventHandler,
        Subscription,
        SubscriptionState,
        SubscriptionStats,
    )
    from virtufin.api.client.descriptions import (
        EnumDescription,
        FieldDescription,
        MessageDescription,
        MethodDescription,
        ServiceDescription,
    )
    from virtufin.api.client.diagnosis import Check, Outcome, Report
    from virtufin.api.dapr import DaprPublisher as DaprPublisher

# Without `DaprPublisher`, because `import *` would fail if the plugin is not installed.
__all__ = [
    "NOT_GIVEN",
    "AbortedError",
    "AlreadyExistsError",
    "ApiClient",
    "ApiKeyError",
    "CallCancelledError",
    "Check",
    "ClientClosedError",
    "ConfigClient",
    "ConflictError",
    "DataLossError",
    "Deadline",
    "DeadlineExceededError",
    "Difference",
    "EnumDescription",
    "EventHandler",
    "FailedPreconditionError",
    "FieldDescription",
    "GatewayClient",
    "HandlerSubscription",
    "InternalError",
    "InvalidInputError",
    "InvalidReplyError",
    "InvalidRequestError",
    "KeepaliveSettings",
    "MessageDescription",
    "MethodDescription",
    "NotFoundError",
    "NotGiven",
    "Outcome",
    "PermissionDeniedError",
    "PubsubClient",
    "PubsubEvent",
    "ReconnectSettings",
    "Report",
    "RequestFailedError",
    "ResourceExhaustedError",
    "RetrySettings",
    "ServiceDescription",
    "ServiceProxy",
    "StateClient",
    "StreamEventHandler",
    "StreamFailedError",
    "StreamInterruptedError",
    "Subscription",
    "SubscriptionSettings",
    "SubscriptionState",
    "SubscriptionStats",
    "TlsSettings",
    "UnauthenticatedError",
    "UnavailableError",
    "UnknownError",
    "UnsupportedError",
    "VirtufinError",
    "Wire",
    "WrongLoopError",
    "__version__",
    "deadline",
]

_import_at_first_use = at_first_use(
    __name__,
    {
        "_protobuf": ("Difference",),
        "_subscriptions": (
            "EventHandler",
            "HandlerSubscription",
            "StreamEventHandler",
            "Subscription",
            "SubscriptionState",
            "SubscriptionStats",
        ),
        "descriptions": (
            "EnumDescription",
            "FieldDescription",
            "MessageDescription",
            "MethodDescription",
            "ServiceDescription",
        ),
        "diagnosis": ("Check", "Outcome", "Report"),
    },
)


def __getattr__(name: str) -> object:
    """Imports a name at its first use, if it is one that not every program uses."""
    if name != "DaprPublisher":
        return _import_at_first_use(name)
    try:
        return importlib.import_module("virtufin.api.dapr").DaprPublisher
    except ModuleNotFoundError as error:
        # Any other missing module is a fault of the installation, which the advice would hide.
        if not (error.name or "").startswith(("virtufin", "dapr")):
            raise
        raise ImportError(
            "DaprPublisher needs the Dapr plugin: pip install 'virtufin-api[dapr]'"
        ) from error


# Listed here although not in `__all__`, because completion in editors and shells should offer it.
def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "DaprPublisher"})
