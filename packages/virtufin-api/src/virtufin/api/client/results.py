"""What calls return: plain dicts with snake_case keys, typed here for editors and checkers."""

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


class StatusResult(TypedDict):
    """Outcome of a call that has no other result. Refusals raise, so `success` is always True."""

    success: bool
    status: str
    message: str


class StateResult(TypedDict):
    """One key of a service's state."""

    key: str
    value: str
    etag: str
    found: bool
    """False where the key is missing; then `value` and `etag` are empty."""


class AllStateResult(TypedDict):
    """All registered keys of a service that have a value."""

    values: dict[str, str]


class DeleteBulkResult(StatusResult):
    """Outcome of a bulk deletion."""

    failed_keys: list[str]


class MethodInfo(TypedDict):
    """One method of a backend service."""

    name: str
    full_name: str
    input_type: str
    output_type: str
    is_client_streaming: bool
    is_server_streaming: bool


class OneofCaseSchema(TypedDict):
    """One case of a oneof."""

    name: str
    type: str
    type_name: str
    field_number: int


class FieldSchema(TypedDict):
    """One field of a message."""

    name: str
    type: str
    type_name: str
    is_repeated: bool
    is_optional: bool
    oneof_group: str
    oneof_cases: list[OneofCaseSchema]


class MethodSchema(TypedDict):
    """The request or response message of a method."""

    input_type_name: str
    output_type_name: str
    schema_type: str
    fields: list[FieldSchema]


class GrpcConfigResult(TypedDict):
    """Where a service's gRPC server is."""

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
    """What the gateway knows about a service; a part that is not configured is None."""

    name: str
    dapr_app_id: str
    grpc: GrpcConfigResult | None
    pubsub: PubsubConfigResult | None
    state: StateConfigResult | None
    jobs: dict[str, str] | None
