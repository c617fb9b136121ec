"""An emulator in a separate process, and the control service to drive it."""

from .control_server import ControlServer

__all__ = [
    "ControlServer",
]
