"""The backends a gateway knows by name."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


from virtufin.api.emulator._validation import several, text

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
    """A backend registered with the gateway.

    Raises:
        ValueError: Name or address is empty, or there is no sample of that name.
        TypeError: Something is no text.
    """

    name: str
    """What callers say: `client.gateway.<name>`."""
    address: str
    """gRPC target, `host:port` as a rule. `sample:workmanager` and `sample:websocketmanager` stand
    for the bundled backends, which the emulator starts and stops itself. `dapr:orders` is the app
    with the app-id `orders`, called through the gateway's Dapr sidecar: with `reflection_address`
    a gRPC server, else an app whose methods take and answer JSON (Dapr service invocation)."""
    dapr_app_id: str = ""
    """What the Config service says; empty means that of the address, else the same as `name`."""
    grpc_service: str = ""
    """Full name of the gRPC service, `acme.Orders`. Empty: every service the backend's reflection
    lists, except health checking and reflection itself."""
    reflection_address: str = ""
    """gRPC target whose reflection is asked what the backend offers; empty means `address`. A
    sidecar does not pass reflection on."""
    pubsub_name: str = "pubsub"
    """What the Config service says."""
    store_name: str = "statestore"
    """What the Config service says."""
    state_keys: tuple[str, ...] = ()
    """What the Config service says."""

    def __post_init__(self) -> None:
        text(self.name, "a service's name")
        text(self.address, f"the address of service {self.name!r}")
        for field in _OPTIONAL_TEXTS:
            text(getattr(self, field), f"{field} of service {self.name!r}", empty=True)
        what = f"state_keys of service {self.name!r}"
        keys = tuple(text(key, f"each of {what}") for key in several(self.state_keys, what))
        object.__setattr__(self, "state_keys", keys)
        if self.address.startswith(DAPR_SCHEME):
            text(self.dapr_app, f"the app-id in the address of service {self.name!r}")
            object.__setattr__(self, "dapr_app_id", self.dapr_app_id or self.dapr_app)
        if self.address.startswith(SAMPLE_SCHEME) and self.sample not in SAMPLE_NAMES:
            raise ValueError(
                f"there is no sample {self.sample!r}; there are {', '.join(SAMPLE_NAMES)}"
            )

    @property
    def sample(self) -> str:
        """Which bundled backend it stands for; empty for a backend of your own."""
        scheme, found, name = self.address.partition(SAMPLE_SCHEME)
        return name if found and not scheme else ""

    @property
    def dapr_app(self) -> str:
        """The app-id to call through the sidecar; empty for a backend that is called directly."""
        scheme, found, app_id = self.address.partition(DAPR_SCHEME)
        return app_id if found and not scheme else ""

    @property
    def is_untyped(self) -> bool:
        """Whether it is an app whose methods nobody can describe."""
        return bool(self.dapr_app) and not self.reflection_address

    @property
    def endpoint(self) -> tuple[str, int]:
        """Host and port of the address; port 0 where it has none."""
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
"""The two bundled backends, which an emulator has unless told otherwise."""


class ServicesFileError(ValueError):
    """A file of services cannot be used; the text says why."""


def checked(services: Iterable[Service]) -> tuple[Service, ...]:
    """The services, once it is sure that no two share a name.

    Raises:
        ValueError: Two share a name.
        TypeError: They are no iterable, or one is not a `Service`.
    """
    known: dict[str, Service] = {}
    for service in several(services, "services"):
        if not isinstance(service, Service):
            raise TypeError(f"services are Service objects, got {service!r}")
        if service.name in known:
            raise ValueError(f"two services are named {service.name!r}")
        known[service.name] = service
    return tuple(known.values())


def read_services(path: str | Path) -> tuple[Service, ...]:
    """Reads a TOML file with one `[[service]]` table per backend, keys as in `Service`.

    Raises:
        ServicesFileError: The file cannot be read, is no TOML, or says something else.
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
        return checked(_service(entry) for entry in entries)
    except (TypeError, ValueError) as error:
        raise ServicesFileError(f"{path}: {error}") from error


def _service(entry: Any) -> Service:
    if not isinstance(entry, dict):
        raise TypeError(f"a service is a table, got {entry!r}")
    legal = {field.name for field in fields(Service)}
    if unknown := sorted(set(entry) - legal):
        raise ValueError(f"unknown key {unknown[0]!r}; a service has {', '.join(sorted(legal))}")
    for key in ("name", "address"):
        if key not in entry:
            raise ValueError(f"a service needs {'an' if key == 'address' else 'a'} {key}")
    if not isinstance(entry.get("state_keys", []), list):
        raise TypeError(f"state_keys is a list, got {entry['state_keys']!r}")
    return Service(**entry)


class Registry:
    """Registered services in order of registration."""

    def __init__(self, services: Iterable[Service]) -> None:
        self._services = {service.name: service for service in services}
        self._targets: dict[str, str] = {}

    def __iter__(self) -> Iterator[Service]:
        return iter(self._services.values())

    def __contains__(self, name: object) -> bool:
        return name in self._services

    def get(self, name: str) -> Service | None:
        """The service of that name."""
        return self._services.get(name)

    def names(self) -> list[str]:
        """All names."""
        return list(self._services)

    def locate(self, name: str, target: str) -> None:
        """Sets where a bundled backend listens."""
        self._targets[name] = target

    def target(self, service: Service) -> str:
        """The gRPC target to call."""
        return self._targets.get(service.name, service.address)

    def endpoint(self, service: Service) -> tuple[str, int]:
        """Host and port to tell others."""
        return replace(service, address=self.target(service)).endpoint
