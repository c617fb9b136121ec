"""The methods of the backends, fetched by server reflection and cached for a limited time.

A description has the methods of a backend, with their descriptors: protobuf's descriptions of
messages and services.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
import grpc.aio
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import DescriptorPool

from virtufin.api.client._protobuf import (
    INFRASTRUCTURE,
    ReflectionClient,
    ReflectionError,
    ReflectionUnavailableError,
    ReflectionUnsupportedError,
    SymbolNotFoundError,
)
from virtufin.api.emulator._ports import CHANNEL_OPTIONS
from virtufin.api.emulator._settings import InvocationPolicy
from virtufin.api.emulator._status_errors import StatusError
from virtufin.api.emulator._wires import DescriptorSet

from .registered_services import Registry, Service

_log = logging.getLogger("virtufin.api.emulator.backends")


@dataclass(frozen=True)
class BackendMethod:
    """A method of a backend, as its descriptor describes it."""

    descriptor: MethodDescriptor

    @property
    def service(self) -> str:
        """The full name of the method's gRPC service."""
        name: str = self.descriptor.containing_service.full_name
        return name

    @property
    def path(self) -> str:
        """The HTTP/2 path of the method, such as `/acme.Orders/Cancel`."""
        return f"/{self.service}/{self.descriptor.name}"

    @property
    def pool(self) -> DescriptorPool:
        """The descriptor pool of the backend, which defines the messages of the method."""
        return self.descriptor.containing_service.file.pool

    @property
    def unary(self) -> bool:
        """True if the method has one request and one reply."""
        return not (self.descriptor.client_streaming or self.descriptor.server_streaming)

    @property
    def request(self) -> Any:
        """The message class of the request."""
        return message_factory.GetMessageClass(self.descriptor.input_type)

    @property
    def response(self) -> Any:
        """The message class of the reply."""
        return message_factory.GetMessageClass(self.descriptor.output_type)


@dataclass(frozen=True)
class Description:
    """The methods of one backend by their short names, and the descriptors of the backend.

    `expires` is the time on the clock of the event loop after which it is fetched again.
    """

    # A pool for each backend, because backends reuse package and message names.
    descriptors: DescriptorSet
    methods: dict[str, BackendMethod]
    expires: float


class AppRoute(Protocol):
    """A way to call backends that are named by app-id: through the gateway's Dapr sidecar."""

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The metadata that each call to the sidecar must carry."""

    def open_channel(self) -> grpc.aio.Channel:
        """Returns a new channel to the sidecar. The caller must close the channel.

        The sidecar passes calls on to the app that their header `dapr-app-id` names.
        """

    async def invoke(
        self, app_id: str, method: str, data: bytes, *, json: bool, timeout: float, metadata: Any
    ) -> bytes:
        """Calls a method of an app by Dapr's service invocation, which needs no descriptors.

        Args:
            app_id: App-id of the app.
            method: Name of the method.
            data: Data of the request.
            json: True if the data is JSON, False if it is bytes of any form.
            timeout: Seconds that the call may take.
            metadata: Further metadata of the call.

        Returns:
            The data of the reply.

        Raises:
            StatusError: The call failed.
        """


class Catalog:
    """The descriptions of the registered backends, and the channels to them.

    Args:
        registry: The registered backends.
        policy: Limits of fetching and keeping descriptions.
        max_message_bytes: Size of the largest reply of a backend in bytes.
        route: Route to backends that are named by app-id. None if the gateway has no sidecar.
    """

    def __init__(
        self,
        registry: Registry,
        policy: InvocationPolicy,
        max_message_bytes: int,
        route: AppRoute | None = None,
    ) -> None:
        self._registry = registry
        self._policy = policy
        self._max_message_bytes = max_message_bytes
        self.route = route
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._descriptions: dict[str, Description] = {}
        # A lock for each backend, so that concurrent calls fetch its descriptors only once.
        self._locks: dict[str, asyncio.Lock] = {}

    async def close(self) -> None:
        """Closes all channels and forgets all descriptions. The catalog can be used afterwards."""
        # Cleared before the wait, so that no call uses a channel that is closing.
        channels = list(self._channels.values())
        self._channels.clear()
        self._descriptions.clear()
        self._locks.clear()
        await asyncio.gather(*(channel.close() for channel in channels))

    def forget(self) -> None:
        """Forgets all descriptions, so that they are fetched again."""
        self._descriptions.clear()

    def get_channel(self, service: Service) -> grpc.aio.Channel:
        """Returns the channel to a backend, opened at the first call. `close` closes it."""
        if service.name not in self._channels:
            self._channels[service.name] = self._open_channel(service)
        return self._channels[service.name]

    def get_metadata(self, service: Service) -> tuple[tuple[str, str], ...]:
        """Returns the metadata that calls to a backend must carry."""
        if self.route is None or not service.dapr_app:
            return ()
        return (*self.route.metadata, ("dapr-app-id", service.dapr_app))

    def _open_channel(self, service: Service) -> grpc.aio.Channel:
        if self.route is not None and service.dapr_app:
            return self.route.open_channel()
        return self._open_direct_channel(self._registry.get_target(service))

    def _open_direct_channel(self, target: str) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(
            target,
            options=(
                *CHANNEL_OPTIONS,
                ("grpc.max_receive_message_length", self._max_message_bytes),
            ),
        )

    async def find_method(self, service: Service, name: str) -> BackendMethod | None:
        """Returns a method of a backend, or None if the backend has no such method.

        Args:
            service: The backend.
            name: Short name of the method.

        Raises:
            StatusError: The description cannot be fetched, as for `describe`.
        """
        # Fetched again if the method is unknown, because the backend may have been upgraded.
        known = self._get_recent(service)
        if known is None or name not in known.methods:
            known = await self.describe(service, instead_of=known)
        return known.methods.get(name)

    async def describe(
        self, service: Service, *, instead_of: Description | None = None
    ) -> Description:
        """Returns the description of a backend: the cached one, or a fetched one if that expired.

        Args:
            service: The backend.
            instead_of: Cached description that lacks what the caller needs. If it is still cached,
                another is fetched. None means that the cached description will do.

        Raises:
            StatusError: The reflection of the backend failed. The status is that of the failure, or
                UNIMPLEMENTED if the backend has no reflection.
        """
        async with self._locks.setdefault(service.name, asyncio.Lock()):
            known = self._get_recent(service)
            if known is None or known is instead_of:
                known = self._descriptions[service.name] = await self._fetch(service)
            return known

    async def fetch_descriptor_sets(self) -> list[DescriptorSet]:
        """Returns the descriptors of all backends in order of registration.

        Backends whose description cannot be fetched are left out.
        """
        found = await asyncio.gather(*(self._try_fetch_descriptors(one) for one in self._registry))
        return [one for one in found if one is not None]

    async def _try_fetch_descriptors(self, service: Service) -> DescriptorSet | None:
        try:
            return (await self.describe(service)).descriptors
        except StatusError as error:
            # Logged only, because one backend that is down must not hide all the others.
            _log.warning("left out: %s", error)
            return None

    def _get_recent(self, service: Service) -> Description | None:
        # Descriptions expire, because a backend may be upgraded while the gateway runs.
        known = self._descriptions.get(service.name)
        if known is None or known.expires <= asyncio.get_running_loop().time():
            return None
        return known

    async def _fetch(self, service: Service) -> Description:
        if service.is_untyped:
            raise StatusError(
                grpc.StatusCode.UNIMPLEMENTED,
                f"{service.name} is called by app-id, and a sidecar does not describe what an app "
                "offers; a gRPC server can be described with reflection_address",
            )
        channel = self.get_channel(service)
        async with AsyncExitStack() as stack:
            # A direct channel, because a sidecar does not pass reflection on to its app.
            if service.reflection_address:
                channel = self._open_direct_channel(service.reflection_address)
                await stack.enter_async_context(channel)
            return await self._read_description(service, channel)

    async def _read_description(self, service: Service, channel: grpc.aio.Channel) -> Description:
        client = ReflectionClient(channel, timeout=self._policy.reflection_timeout)
        try:
            names = (
                [service.grpc_service] if service.grpc_service else await _list_own_services(client)
            )
            pool = await client.pool(*names)
        except ReflectionError as error:
            raise _make_error(service, error) from error
        methods: dict[str, BackendMethod] = {}
        for name in names:
            for descriptor in pool.FindServiceByName(name).methods:
                # The first service wins, because callers name a method without its service.
                methods.setdefault(descriptor.name, BackendMethod(descriptor))
        return Description(
            DescriptorSet(pool, names),
            methods,
            asyncio.get_running_loop().time() + self._policy.descriptor_lifetime,
        )


async def _list_own_services(client: ReflectionClient) -> list[str]:
    names = await client.list_services()
    # Without health checks and reflection, because they are not the backend's own methods.
    return [name for name in names if not name.startswith(INFRASTRUCTURE)]


def _make_error(service: Service, error: ReflectionError) -> StatusError:
    """Returns the error for a call to a backend whose reflection failed.

    Args:
        service: The backend.
        error: The error of the reflection.
    """
    code, details = grpc.StatusCode.INTERNAL, str(error)
    if isinstance(error, ReflectionUnavailableError):
        code, details = error.code, error.details
    elif isinstance(error, ReflectionUnsupportedError):
        code = grpc.StatusCode.UNIMPLEMENTED
    elif isinstance(error, SymbolNotFoundError):
        code = grpc.StatusCode.NOT_FOUND
    return StatusError(code, f"reflection of backend {service.name}: {details}")
