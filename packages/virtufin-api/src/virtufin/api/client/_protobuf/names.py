"""Full names of well-known types and of gRPC's own services.

Apart from the modules that use the names, because the options of a channel need some of them, and
those modules are imported at their first use only.
"""

from __future__ import annotations

TIMESTAMP = "google.protobuf.Timestamp"
DURATION = "google.protobuf.Duration"
STRUCT = "google.protobuf.Struct"
VALUE = "google.protobuf.Value"
LIST_VALUE = "google.protobuf.ListValue"
NULL_VALUE = "google.protobuf.NullValue"
FIELD_MASK = "google.protobuf.FieldMask"
ANY = "google.protobuf.Any"
JSON_TYPES = frozenset({STRUCT, VALUE, LIST_VALUE})
"""Well-known types whose values are JSON values."""
WRAPPERS = frozenset(
    f"google.protobuf.{name}Value"
    for name in (
        "Bool",
        "Bytes",
        "Double",
        "Float",
        "Int32",
        "Int64",
        "String",
        "UInt32",
        "UInt64",
    )
)
"""Well-known types that hold one scalar, so that the scalar may be unset."""
V1 = "grpc.reflection.v1.ServerReflection"
V1ALPHA = "grpc.reflection.v1alpha.ServerReflection"
INFRASTRUCTURE = ("grpc.reflection.", "grpc.health.", "grpc.channelz.")
"""Name prefixes of gRPC's own services, which many servers offer in addition to theirs."""
