"""Which sidecar a gateway on Dapr uses, and how."""

from __future__ import annotations

from dataclasses import dataclass, field

from virtufin.api.emulator._validation import seconds, switch, text, whole


@dataclass(frozen=True)
class DaprSettings:
    """The Dapr sidecar of a gateway that keeps nothing itself.

    Each replica has a sidecar of its own, with an app-id of its own that stays the same over
    restarts: an app-id is a consumer group, and replicas under one would share the events between
    them instead of each getting all.

    Raises:
        ValueError: A text is empty, or a number out of its range.
        TypeError: Something has the wrong type.
    """

    address: str | None = None
    """Where the sidecar's gRPC API is, such as `127.0.0.1:50001`. None: DAPR_GRPC_ENDPOINT, else
    DAPR_RUNTIME_HOST and DAPR_GRPC_PORT."""
    api_token: str | None = field(default=None, repr=False)
    """Token that the sidecar demands. None: DAPR_API_TOKEN."""
    pubsub_name: str = "pubsub"
    """Name of its pub/sub component."""
    store_name: str = "statestore"
    """Name of its state store. Replicas share state where the component says `keyPrefix: name` or
    `none`."""
    keep_history: bool = False
    """Whether subscribers get what a topic held before the gateway was started. A broker such as
    Redis hands a topic's whole retained history to an app-id it has not seen before."""
    timeout: float = 30.0
    """Seconds a call to the sidecar may take. A shorter deadline of the caller wins."""

    def __post_init__(self) -> None:
        if self.address is not None:
            text(self.address, "address")
        if self.api_token is not None:
            text(self.api_token, "api_token")
        text(self.pubsub_name, "pubsub_name")
        text(self.store_name, "store_name")
        switch(self.keep_history, "keep_history")
        seconds(self.timeout, "timeout")


@dataclass(frozen=True)
class InvocationPolicy:
    """How long, and how often, a backend is tried. The defaults are the documented gateway's.

    Times are at most ten years.

    Raises:
        ValueError: A number is out of its range.
        TypeError: Something is no number, or not a whole one where that is needed.
    """

    call_limit: float = 30.0
    """Seconds a call may take, retries included. A shorter deadline of the caller wins."""
    retries: int = 3
    """Tries after the first one, on UNAVAILABLE only."""
    retry_delay: float = 0.2
    """Seconds before the first retry; doubled before each further one."""
    circuit_failures: int = 5
    """Failed calls in a row (unavailable, or over the limit) that open a service's circuit."""
    circuit_open: float = 30.0
    """Seconds an open circuit refuses calls; then one call tries again."""
    descriptor_lifetime: float = 3600.0
    """Seconds a backend's descriptors are kept before reflection is asked again."""
    reflection_timeout: float = 5.0
    """Seconds a backend's reflection may take."""

    def __post_init__(self) -> None:
        seconds(self.call_limit, "call_limit")
        whole(self.retries, "retries", 0)
        seconds(self.retry_delay, "retry_delay", zero=True)
        whole(self.circuit_failures, "circuit_failures", 1)
        seconds(self.circuit_open, "circuit_open", zero=True)
        seconds(self.descriptor_lifetime, "descriptor_lifetime", zero=True)
        seconds(self.reflection_timeout, "reflection_timeout")
