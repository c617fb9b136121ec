"""An emulator in a process of its own, and the service by which other processes control it."""

from .control_server import ControlServer

__all__ = [
    "ControlServer",
]
