"""The connection to a gateway: channels, calls and streams in bytes, errors, closing."""

# Other packages import from here only, so that its modules can change.
from .calls import Deliver, Stream
from .channels import (
    Lease,
    drain_notifications,
    is_connected,
    is_connecting,
    leave_idle_and_connecting,
)
from .connection import ConnectionState
from .credentials import Credentials
from .health import Health, check_health, wait_for_gateway
from .in_band_status import check, read_status, success
from .method import Method
from .transport import Transport

__all__ = [
    "ConnectionState",
    "Credentials",
    "Deliver",
    "Health",
    "Lease",
    "Method",
    "Stream",
    "Transport",
    "check",
    "check_health",
    "drain_notifications",
    "is_connected",
    "is_connecting",
    "leave_idle_and_connecting",
    "read_status",
    "success",
    "wait_for_gateway",
]
