"""The results of calls: plain dicts with snake_case keys, typed for editors and type checkers."""

from __future__ import annotations

from typing import TypedDict

__all__ = [
    "AllStateResult",
    "ConfigServiceResult",
    "DeleteBulkResult",
    "FieldSchema",
    "GrpcConfigResult",
    "MethodInfo",
    "MethodSchema",
    "OneofCaseSchema",
    "PubsubConfigResult",
    "StateConfigResult",
    "StateResult",
    "StatusResult",
]


# TypedDict instead of dataclasses, because the documented calls return dicts.
class StatusResult(TypedDict):
    """The result of a call that returns only a status."""

    # Always True, because a reply with `success=false` raises an error.
    success: bool
    status: str
    message: str


class StateResult(TypedDict):
    """A key of a service's state, with its value."""

    key: str
    value: str
    etag: str
    found: bool
    """False if the key is missing. Then `value` and `etag` are empty."""


class AllStateResult(TypedDict):
    """All registered keys of a service that have a value."""

    values: dict[str, str]


class DeleteBulkResult(StatusResult):
    """The result of a bulk deletion."""

    failed_keys: list[str]


class MethodInfo(TypedDict):
    """A method of a backend."""

    name: str
    full_name: str
    input_type: str
    output_type: str
    is_client_streaming: bool
    is_server_streaming: bool


class OneofCaseSchema(TypedDict):
    """A field that belongs to a oneof."""

    name: str
    type: str
    type_name: str
    field_number: int


class FieldSchema(TypedDict):
    """A field of a message."""

    name: str
    type: str
    type_name: str
    is_repeated: bool
    is_optional: bool
    oneof_group: str
    oneof_cases: list[OneofCaseSchema]


class MethodSchema(TypedDict):
    """The fields of the request or the response of a method.

    `schema_type` says which: `output` for the response, `input` or empty for the request. The names
    of both messages are always given.
    """

    input_type_name: str
    output_type_name: str
    schema_type: str
    fields: list[FieldSchema]


class GrpcConfigResult(TypedDict):
    """The address of a service's gRPC server."""

    host: str
    port: int
    reflection_enabled: bool


class PubsubConfigResult(TypedDict):
    """The pub/sub component of a service."""

    pubsub_name: str


class StateConfigResult(TypedDict):
    """The state store of a service."""

    store_name: str
    keys: list[str]


class ConfigServiceResult(TypedDict):
    """The gateway's configuration of a service; a part that is not configured is None."""

    name: str
    dapr_app_id: str
    # None instead of a missing key, because unset messages of a complete reply are None.
    grpc: GrpcConfigResult | None
    pubsub: PubsubConfigResult | None
    state: StateConfigResult | None
    jobs: dict[str, str] | None
