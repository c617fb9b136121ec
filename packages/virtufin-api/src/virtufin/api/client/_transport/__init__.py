"""The connection to a gateway: channels, calls and streams in bytes, errors, closing."""

# Other packages import from here only, so that its modules can change.
from .calls import Stream
from .channels import Lease, is_connected, is_connecting, leave_idle_and_connecting, settle
from .credentials import Secrets
from .health import Health, ask_health, wait_for_gateway
from .in_band_status import accepted, check, success
from .method import Method
from .transport import Transport

__all__ = [
    "Health",
    "Lease",
    "Method",
    "Secrets",
    "Stream",
    "Transport",
    "accepted",
    "ask_health",
    "check",
    "is_connected",
    "is_connecting",
    "leave_idle_and_connecting",
    "settle",
    "success",
    "wait_for_gateway",
]
