"""Descriptors: fetching them by reflection, comparing them, and translating messages by them."""

# Other packages import from here only, so that modules can move inside; lint checks that.
# This package imports neither the transport nor a layer above, because they import this package.
# So the reflection client takes a plain channel of grpc.aio.
from .compare import Difference, different_methods, is_repeated, method_of, type_name
from .fields import (
    ANY,
    DURATION,
    FIELD_MASK,
    FLOATS,
    INTEGERS,
    JSON_TYPES,
    NULL_VALUE,
    TIMESTAMP,
    VALUE,
    WRAPPERS,
    Field,
    by_any_name,
    fields_of,
    kind_of,
    message_type,
    snake_case,
)
from .reflection_client import (
    INFRASTRUCTURE,
    V1,
    V1ALPHA,
    ReflectionClient,
    ReflectionError,
    ReflectionUnavailableError,
    ReflectionUnsupportedError,
    SymbolNotFoundError,
    build_pool,
)
from .translate import Translation, convertible

__all__ = [
    "ANY",
    "DURATION",
    "FIELD_MASK",
    "FLOATS",
    "INFRASTRUCTURE",
    "INTEGERS",
    "JSON_TYPES",
    "NULL_VALUE",
    "TIMESTAMP",
    "V1",
    "V1ALPHA",
    "VALUE",
    "WRAPPERS",
    "Difference",
    "Field",
    "ReflectionClient",
    "ReflectionError",
    "ReflectionUnavailableError",
    "ReflectionUnsupportedError",
    "SymbolNotFoundError",
    "Translation",
    "build_pool",
    "by_any_name",
    "convertible",
    "different_methods",
    "fields_of",
    "is_repeated",
    "kind_of",
    "message_type",
    "method_of",
    "snake_case",
    "type_name",
]
