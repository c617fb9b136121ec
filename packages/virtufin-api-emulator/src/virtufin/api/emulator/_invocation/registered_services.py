"""The backends of a gateway: the services that clients call through it, registered by name."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

# The standard library has a TOML parser only from Python 3.11.
if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


from virtufin.api.emulator._validation import require_items, require_text

SAMPLE_SCHEME = "sample:"
DAPR_SCHEME = "dapr:"
_OPTIONAL_TEXTS = (
    "dapr_app_id",
    "grpc_service",
    "reflection_address",
    "pubsub_name",
    "store_name",
)
SAMPLE_NAMES = ("workmanager", "websocketmanager")


@dataclass(frozen=True)
class Service:
    """A backend of the gateway, with the name by which clients call it.

    Raises:
        ValueError: The name or the address is empty, or there is no such sample.
        TypeError: A value is not text.
    """

    name: str
    """The name of the backend for clients: `client.gateway.<name>`."""
    address: str
    """The place of the backend, in one of three forms:

    - A gRPC target, usually `host:port`.
    - `sample:workmanager` or `sample:websocketmanager`: a sample backend, which is part of the
      emulator and starts and stops with it.
    - `dapr:orders`: the app with the app-id `orders`, called through the gateway's Dapr sidecar.
      With `reflection_address` the app is a gRPC server. Without, its methods take and return JSON
      (Dapr service invocation).
    """
    dapr_app_id: str = ""
    """The app-id in replies of the Config service. Empty means the app-id of `address`, or else
    `name`."""
    grpc_service: str = ""
    """The full name of the gRPC service to call, such as `acme.Orders`. Empty means every service
    that the backend's reflection lists, except health checks and reflection."""
    # Separate from the address, because a sidecar does not pass reflection on.
    reflection_address: str = ""
    """The gRPC target whose reflection describes the backend. Empty means `address`."""
    pubsub_name: str = "pubsub"
    """The name of the pub/sub component in replies of the Config service."""
    store_name: str = "statestore"
    """The name of the state store in replies of the Config service."""
    state_keys: tuple[str, ...] = ()
    """The state keys in replies of the Config service."""

    def __post_init__(self) -> None:
        # Checked here, because a wrong service would otherwise fail in a later call, or never.
        require_text(self.name, "a service's name")
        require_text(self.address, f"the address of service {self.name!r}")
        for field in _OPTIONAL_TEXTS:
            require_text(getattr(self, field), f"{field} of service {self.name!r}", empty=True)
        what = f"state_keys of service {self.name!r}"
        keys = tuple(
            require_text(key, f"each of {what}") for key in require_items(self.state_keys, what)
        )
        # `object.__setattr__`, because the dataclass is frozen.
        object.__setattr__(self, "state_keys", keys)
        if self.address.startswith(DAPR_SCHEME):
            require_text(self.dapr_app, f"the app-id in the address of service {self.name!r}")
            object.__setattr__(self, "dapr_app_id", self.dapr_app_id or self.dapr_app)
        if self.address.startswith(SAMPLE_SCHEME) and self.sample not in SAMPLE_NAMES:
            raise ValueError(
                f"there is no sample {self.sample!r}; there are {', '.join(SAMPLE_NAMES)}"
            )

    @property
    def sample(self) -> str:
        """The name of the sample backend. Empty for any other backend."""
        scheme, found, name = self.address.partition(SAMPLE_SCHEME)
        return name if found and not scheme else ""

    @property
    def dapr_app(self) -> str:
        """The app-id of a backend behind the sidecar. Empty for one that is called directly."""
        scheme, found, app_id = self.address.partition(DAPR_SCHEME)
        return app_id if found and not scheme else ""

    @property
    def is_untyped(self) -> bool:
        """True if the backend is an app without reflection, whose methods take and return JSON."""
        return bool(self.dapr_app) and not self.reflection_address

    @property
    def endpoint(self) -> tuple[str, int]:
        """The host and port of the address. The port is 0 if the address has none."""
        # At most five digits, because a longer number could break the Config service's reply.
        host, _, port = self.address.rpartition(":")
        if not host or not port.isdecimal() or len(port) > 5:
            return self.address, 0
        return host.strip("[]"), int(port)


SAMPLES = (
    Service("workmanager", "sample:workmanager", grpc_service="virtufin.WorkManager"),
    Service(
        "websocketmanager", "sample:websocketmanager", grpc_service="virtufin.WebSocketManager"
    ),
)
"""The two sample backends, which an emulator has by default."""


class ServicesFileError(ValueError):
    """Raised if a file of services cannot be read or has wrong content. The text says what."""


def require_services(services: Iterable[Service]) -> tuple[Service, ...]:
    """Verifies that values are services with different names, and returns the services.

    Raises:
        ValueError: Two services have the same name.
        TypeError: `services` is not an iterable of `Service`.
    """
    known: dict[str, Service] = {}
    for service in require_items(services, "services"):
        if not isinstance(service, Service):
            raise TypeError(f"services are Service objects, got {service!r}")
        if service.name in known:
            raise ValueError(f"two services are named {service.name!r}")
        known[service.name] = service
    return tuple(known.values())


def read_services(path: str | Path) -> tuple[Service, ...]:
    """Reads services from a TOML file.

    The file has one `[[service]]` table for each backend, with the fields of `Service` as keys.

    Args:
        path: Path of the file.

    Raises:
        ServicesFileError: The file cannot be read, is not TOML, or has other content.
    """
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ServicesFileError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ServicesFileError(f"{path}: not TOML: {error}") from error
    entries = document.pop("service", None)
    if document or not isinstance(entries, list):
        raise ServicesFileError(f"{path}: expected [[service]] tables and nothing else")
    try:
        return require_services(_parse_service(entry) for entry in entries)
    except (TypeError, ValueError) as error:
        raise ServicesFileError(f"{path}: {error}") from error


def _parse_service(entry: Any) -> Service:
    if not isinstance(entry, dict):
        raise TypeError(f"a service is a table, got {entry!r}")
    legal = {field.name for field in fields(Service)}
    # Checked here, because the error of the constructor would not list the legal keys.
    if unknown := sorted(set(entry) - legal):
        raise ValueError(f"unknown key {unknown[0]!r}; a service has {', '.join(sorted(legal))}")
    for key in ("name", "address"):
        if key not in entry:
            raise ValueError(f"a service needs {'an' if key == 'address' else 'a'} {key}")
    if not isinstance(entry.get("state_keys", []), list):
        raise TypeError(f"state_keys is a list, got {entry['state_keys']!r}")
    return Service(**entry)


class Registry:
    """The backends of one gateway, in order of registration.

    Args:
        services: The backends. Their names must differ.
    """

    def __init__(self, services: Iterable[Service]) -> None:
        self._services = {service.name: service for service in services}
        # Kept apart, because a bundled backend has no port before its start.
        self._targets: dict[str, str] = {}

    def __iter__(self) -> Iterator[Service]:
        return iter(self._services.values())

    def __contains__(self, name: object) -> bool:
        return name in self._services

    def get(self, name: str) -> Service | None:
        """Returns the backend with a name, or None if there is none."""
        return self._services.get(name)

    def list_names(self) -> list[str]:
        """Returns the names of all backends."""
        return list(self._services)

    def locate(self, name: str, target: str) -> None:
        """Sets the gRPC target of a backend, instead of that of its address.

        Args:
            name: Name of the backend.
            target: The gRPC target.
        """
        self._targets[name] = target

    def get_target(self, service: Service) -> str:
        """Returns the gRPC target of a backend."""
        return self._targets.get(service.name, service.address)

    def get_endpoint(self, service: Service) -> tuple[str, int]:
        """Returns the host and port of a backend for replies of the Config service."""
        return replace(service, address=self.get_target(service)).endpoint
