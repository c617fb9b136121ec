"""Descriptors: fetching them by reflection, comparing them, and translating messages by them."""

# Other packages import from here only, so that modules can move inside; lint checks that.
# This package imports neither the transport nor a layer above, because they import this package.
# So the reflection client takes a plain channel of grpc.aio.
# At their first use, because a client needs descriptors only once it has called a gateway.
from typing import TYPE_CHECKING

from virtufin.api.client._lazy import at_first_use

from .names import (
    ANY,
    DURATION,
    FIELD_MASK,
    INFRASTRUCTURE,
    JSON_TYPES,
    NULL_VALUE,
    TIMESTAMP,
    V1,
    V1ALPHA,
    VALUE,
    WRAPPERS,
)

if TYPE_CHECKING:
    from .compare import Difference, different_methods, is_repeated, method_of, type_name
    from .fields import (
        FLOATS,
        INTEGERS,
        Field,
        by_any_name,
        fields_of,
        kind_of,
        message_type,
        snake_case,
    )
    from .reflection_client import (
        ReflectionClient,
        ReflectionError,
        ReflectionUnavailableError,
        ReflectionUnsupportedError,
        SymbolNotFoundError,
        build_pool,
    )
    from .translate import Translation, convertible
else:
    __getattr__ = at_first_use(
        __name__,
        {
            "compare": (
                "Difference",
                "different_methods",
                "is_repeated",
                "method_of",
                "type_name",
            ),
            "fields": (
                "FLOATS",
                "INTEGERS",
                "Field",
                "by_any_name",
                "fields_of",
                "kind_of",
                "message_type",
                "snake_case",
            ),
            "reflection_client": (
                "ReflectionClient",
                "ReflectionError",
                "ReflectionUnavailableError",
                "ReflectionUnsupportedError",
                "SymbolNotFoundError",
                "build_pool",
            ),
            "translate": (
                "Translation",
                "convertible",
            ),
        },
    )

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
