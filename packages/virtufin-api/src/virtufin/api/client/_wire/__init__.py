"""The message layout of a gateway, and calls of the gateway's methods by name in that layout."""

# Other packages import from here only, so that its modules can change.
from typing import TYPE_CHECKING

from virtufin.api.client._lazy import at_first_use

from .discovery import LIFETIME, Discovery
from .rpc import Rpc
from .wire import PACKAGE, Wire

# At their first use, because few gateways are of the earlier generation.
if TYPE_CHECKING:
    from .earlier_events import from_earlier, to_earlier
else:
    __getattr__ = at_first_use(__name__, {"earlier_events": ("from_earlier", "to_earlier")})

__all__ = [
    "LIFETIME",
    "PACKAGE",
    "Discovery",
    "Rpc",
    "Wire",
    "from_earlier",
    "to_earlier",
]
