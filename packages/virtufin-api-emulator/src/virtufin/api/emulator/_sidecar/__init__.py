"""Programs for tests beside the emulator: real daprd and Redis, and a stand-in for daprd."""

from .program import MissingProgramError, Program, find
from .resources import component_names, redelivery

__all__ = [
    "MissingProgramError",
    "Program",
    "component_names",
    "find",
    "redelivery",
]
