"""Programs for tests beside the emulator: real daprd and Redis, and a stand-in for daprd."""

from .program import MissingProgramError, Program, find_daprd, find_redis
from .resources import component, make_redelivery_policy, read_component_names

__all__ = [
    "MissingProgramError",
    "Program",
    "component",
    "find_daprd",
    "find_redis",
    "make_redelivery_policy",
    "read_component_names",
]
