"""Calls to the backends behind a gateway, in Python values."""

from .describe import from_answers, from_descriptors
from .invoker import Request, TypedCalls
from .schemas import Schemas
from .suggestions import nearest, unknown_name

__all__ = [
    "Request",
    "Schemas",
    "TypedCalls",
    "from_answers",
    "from_descriptors",
    "nearest",
    "unknown_name",
]
