"""Settings of an emulator: its Dapr sidecar, and its calls to backends.

A backend is a service behind the gateway, which clients call through the gateway.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from virtufin.api.emulator._validation import (
    require_bool,
    require_seconds,
    require_text,
    require_whole,
)


@dataclass(frozen=True)
class DaprSettings:
    """The Dapr sidecar of an emulated gateway that keeps no state and no events itself.

    Several emulators can act as replicas of one gateway. Each replica needs a sidecar of its own
    with an app-id of its own, which must stay the same over restarts. For Dapr an app-id is a
    consumer group: replicas with the same app-id would share the events of a topic, instead of each
    receiving all of them.

    Raises:
        ValueError: A text is empty, or a number is out of its range.
        TypeError: A setting has the wrong type.
    """

    address: str | None = None
    """Address of the sidecar's gRPC API, such as `127.0.0.1:50001`. None means
    DAPR_GRPC_ENDPOINT; if that is not set, DAPR_RUNTIME_HOST (or else 127.0.0.1) with
    DAPR_GRPC_PORT (or else 50001)."""
    # Left out of `repr`, because settings end up in logs and error texts.
    api_token: str | None = field(default=None, repr=False)
    """Token that the sidecar demands. None means DAPR_API_TOKEN, or no token if that is not set."""
    pubsub_name: str = "pubsub"
    """Name of the sidecar's pub/sub component."""
    store_name: str = "statestore"
    """Name of the sidecar's state store component. Replicas share state if the component sets
    `keyPrefix` to `name` or `none`."""
    # Off, because a gateway has no history: a subscriber gets the events published from then on.
    keep_history: bool = False
    """True if subscribers also receive events that were published before the emulator was started.
    A broker such as Redis delivers all events that it still holds of a topic to a new app-id."""
    timeout: float = 30.0
    """Seconds that a call to the sidecar may take. A shorter deadline of the client's call
    applies."""

    def __post_init__(self) -> None:
        if self.address is not None:
            require_text(self.address, "address")
        if self.api_token is not None:
            require_text(self.api_token, "api_token")
        require_text(self.pubsub_name, "pubsub_name")
        require_text(self.store_name, "store_name")
        require_bool(self.keep_history, "keep_history")
        require_seconds(self.timeout, "timeout")


@dataclass(frozen=True)
class InvocationPolicy:
    """Time limits and retries of the emulator's calls to backends.

    The defaults are those of the documented gateway. No time may exceed ten years.

    Raises:
        ValueError: A number is out of its range.
        TypeError: A setting is not a number, or a count is not a whole number.
    """

    call_limit: float = 30.0
    """Seconds that a call may take, including retries. A shorter deadline of the client's call
    applies."""
    retries: int = 3
    """Number of further attempts after the first. Only the status UNAVAILABLE is retried."""
    retry_delay: float = 0.2
    """Seconds before the first retry. The delay doubles before each further retry."""
    circuit_failures: int = 5
    """Number of failed calls in a row that open the circuit of a backend. Only UNAVAILABLE and
    DEADLINE_EXCEEDED count. An open circuit refuses calls without sending them."""
    circuit_open: float = 30.0
    """Seconds for which a circuit stays open. Then one call is tried: its success closes the
    circuit, and its failure opens the circuit for the same time again."""
    descriptor_lifetime: float = 3600.0
    """Seconds for which the descriptors of a backend are kept before they are fetched again."""
    reflection_timeout: float = 5.0
    """Seconds that fetching the descriptors of a backend by server reflection may take."""

    def __post_init__(self) -> None:
        # Checked here, because a bad number would otherwise come out as an error of a later call.
        require_seconds(self.call_limit, "call_limit")
        require_whole(self.retries, "retries", 0)
        require_seconds(self.retry_delay, "retry_delay", zero=True)
        require_whole(self.circuit_failures, "circuit_failures", 1)
        require_seconds(self.circuit_open, "circuit_open", zero=True)
        require_seconds(self.descriptor_lifetime, "descriptor_lifetime", zero=True)
        require_seconds(self.reflection_timeout, "reflection_timeout")
