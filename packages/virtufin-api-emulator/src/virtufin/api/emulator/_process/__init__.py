"""An emulator in a separate process, and the control service to drive it."""

from .control import ControlServer

__all__ = [
    "ControlServer",
]
