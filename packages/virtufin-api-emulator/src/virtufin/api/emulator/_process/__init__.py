"""An emulator in a process of its own, and its control."""

from .control import ControlServer

__all__ = [
    "ControlServer",
]
