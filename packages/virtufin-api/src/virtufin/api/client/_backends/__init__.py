"""Calls to the backends behind a gateway, with Python values for requests and replies."""

# Other packages import from here only, so that modules can move inside; lint checks that.
from .describe import from_answers, from_descriptors
from .invoker import TypedCalls
from .schemas import Schemas
from .suggestions import closest_names, unknown_name

__all__ = [
    "Schemas",
    "TypedCalls",
    "closest_names",
    "from_answers",
    "from_descriptors",
    "unknown_name",
]
