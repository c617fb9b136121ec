"""The public client class, which assembles the transport and the clients of each service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from grpc import aio

from virtufin.api.client._config import ConfigClient
from virtufin.api.client._environment import (
    resolve_api_key,
    resolve_metadata,
    resolve_source,
    resolve_target,
    resolve_tls,
)
from virtufin.api.client._gateway import GatewayClient
from virtufin.api.client._pubsub import PubsubClient
from virtufin.api.client._settings import (
    GRPC_PORT,
    MAX_MESSAGE_BYTES,
    REFLECTION_TIMEOUT,
    TIMEOUT,
    ClientSettings,
    KeepaliveSettings,
    ReconnectSettings,
    RetrySettings,
    SubscriptionSettings,
    TlsSettings,
)
from virtufin.api.client._state import StateClient
from virtufin.api.client._transport import Transport, wait_for_gateway
from virtufin.api.client._types import NOT_GIVEN, ApiKey, NotGiven, Request, Timeout
from virtufin.api.client._validation import (
    require_bool,
    require_name,
    require_one_of,
    require_positive,
    require_settings,
    require_timeout,
    require_whole,
    short_repr,
)
from virtufin.api.client._wire import Discovery, Rpc, Wire
from virtufin.api.client.errors import InvalidInputError
from virtufin.api.client.results import AllStateResult, MethodInfo, StateResult, StatusResult

if TYPE_CHECKING:
    from virtufin.api.client._subscriptions import Handler, HandlerSubscription
    from virtufin.api.client.diagnosis import Report
else:
    # For `typing.get_type_hints`, which fails at a name that is imported later.
    Handler = HandlerSubscription = Report = Any


class ApiClient:
    """Asyncio client of the Virtufin.Api gateway.

    The constructor does no I/O and needs no running event loop; the first call, `async with` or
    `connect()` opens the channel. One client belongs to one event loop. The names VIRTUFIN_API_*
    below are environment variables.

    Args:
        host: Name or address of the gateway, or a gRPC target (`dns:///name:port`,
            `ipv4:a:1,b:2`, `unix:path`). Calls to several addresses go round robin. `memory:`
            starts an emulator inside the process (needs virtufin-api-emulator), and clients with
            the same `memory:name` share an emulator. Default VIRTUFIN_API_HOST, else `localhost`.
        grpc_port: Native gRPC port. Default VIRTUFIN_API_GRPC_PORT, else 5002.
        api_key: API key for the gateway, or a function (plain or async) that returns the current
            key. Default VIRTUFIN_API_KEY, else no key.
        tls: True, or `TlsSettings`. Default VIRTUFIN_API_TLS, else no TLS.
        timeout: Deadline in seconds of every unary call that has no timeout of its own; None means
            no deadline. Default 30.
        keepalive: Settings of the HTTP/2 pings that find connections whose other end is gone.
        retry: Settings of the retries of calls that only read.
        reconnect: Settings of the reconnect attempts of subscriptions.
        subscription: Limits and waiting times of subscriptions.
        max_message_bytes: Largest message to send or receive. Default 4 MiB, as gRPC's.
        metadata: Headers to send with every call.
        interceptors: `grpc.aio` client interceptors.
        source: CloudEvents source of published events. Default VIRTUFIN_API_SOURCE, else
            `urn:com.virtufin.client`.
        wire: `auto` reads the gateway's message layout from its reflection service. `packaged`
            uses the layout of the installed protos without any lookup. Default `auto`.
        complete_replies: True returns replies of backends with every field, each as its Python
            type, if the gateway's reflection service describes the backend. False returns the JSON
            as sent. Default True.
        reflection_timeout: Seconds to wait for an answer of the gateway's reflection service. If it
            does not answer, the first call of each connection waits this long. Default 2.
        channel: A `grpc.aio.Channel` of your own, which `close()` leaves open. Not allowed together
            with settings that are fixed when a channel is created: host, grpc_port, tls, keepalive,
            retry, interceptors, max_message_bytes.

    Raises:
        InvalidInputError: A setting has the wrong type or an unusable value.

    Example:
        >>> import asyncio
        >>> from virtufin.api.client import ApiClient
        >>> async def main():
        ...     async with ApiClient(host="memory:") as client:
        ...         return await client.list_services_async()
        >>> asyncio.run(main())
        ['workmanager', 'websocketmanager']
    """

    def __init__(
        self,
        # Sentinels, because an explicit "localhost" must take precedence over the environment, and
        # an explicit None for `api_key` or `tls` means none.
        host: str | NotGiven = NOT_GIVEN,
        grpc_port: int | NotGiven = NOT_GIVEN,
        *,
        api_key: ApiKey | NotGiven | None = NOT_GIVEN,
        tls: bool | TlsSettings | NotGiven | None = NOT_GIVEN,
        timeout: float | None = TIMEOUT,
        keepalive: KeepaliveSettings | None = None,
        retry: RetrySettings | None = None,
        reconnect: ReconnectSettings | None = None,
        subscription: SubscriptionSettings | None = None,
        max_message_bytes: int | None = None,
        metadata: Mapping[str, str | bytes] | None = None,
        interceptors: Sequence[Any] | None = None,
        source: str | None = None,
        wire: Literal["auto", "packaged"] = "auto",
        complete_replies: bool = True,
        reflection_timeout: float = REFLECTION_TIMEOUT,
        channel: aio.Channel | None = None,
    ) -> None:
        if channel is not None:
            if not isinstance(channel, aio.Channel):
                raise InvalidInputError(
                    f"channel must be a grpc.aio.Channel, not {short_repr(channel)}"
                )
            _refuse_beside_channel(
                host=host if isinstance(host, str) else None,
                grpc_port=grpc_port if isinstance(grpc_port, int) else None,
                tls=None if isinstance(tls, NotGiven) else tls,
                keepalive=keepalive,
                retry=retry,
                interceptors=interceptors,
                max_message_bytes=max_message_bytes,
            )
            # Fixed values instead of VIRTUFIN_API_HOST and VIRTUFIN_API_GRPC_PORT, because the
            # environment does not describe the caller's channel.
            host, grpc_port = "localhost", GRPC_PORT
        target = resolve_target(host, grpc_port)
        # `memory:` is no scheme of gRPC; the transport replaces it by the emulator's own target.
        memory = target[len("memory:") :] if target.startswith("memory:") else None
        self._settings = ClientSettings(
            target=target,
            api_key=resolve_api_key(api_key),
            # VIRTUFIN_API_TLS is not read for these two, because an in-process emulator has no TLS
            # and a given channel already has its own security.
            tls=resolve_tls(tls) if memory is None and channel is None else None,
            timeout=require_timeout(timeout),
            keepalive=require_settings(keepalive, "keepalive", KeepaliveSettings),
            retry=require_settings(retry, "retry", RetrySettings),
            reconnect=require_settings(reconnect, "reconnect", ReconnectSettings),
            subscription=require_settings(subscription, "subscription", SubscriptionSettings),
            max_message_bytes=MAX_MESSAGE_BYTES
            if max_message_bytes is None
            else require_whole("max_message_bytes", max_message_bytes, 1),
            metadata=resolve_metadata(metadata),
            interceptors=_interceptors(interceptors),
            source=resolve_source(source),
            memory=memory,
            wire=require_one_of(wire, "wire", ("auto", "packaged")),
            complete_replies=require_bool(complete_replies, "complete_replies"),
            reflection_timeout=require_positive("reflection_timeout", reflection_timeout),
        )
        self._transport = Transport(self._settings, channel)
        auto = self._settings.wire == "auto"
        packaged = Wire.packaged("no call was made yet" if auto else "wire='packaged'")
        # Created even with wire='packaged', because `Rpc` takes the layout from it in both cases.
        self._discovery = Discovery(
            self._transport, packaged, self._settings.reflection_timeout, enabled=auto
        )
        self._rpc = Rpc(self._transport, self._discovery)
        self.gateway = GatewayClient(
            self._rpc, self._discovery, complete_replies=self._settings.complete_replies
        )
        """The client for calls to the backends."""
        self.state = StateClient(self._rpc)
        """The client for the state of services."""
        self.config = ConfigClient(self._rpc)
        """The client for the gateway's configuration of services."""
        self.pubsub = PubsubClient(
            self._rpc,
            source=self._settings.source,
            reconnect=self._settings.reconnect,
            settings=self._settings.subscription,
        )
        """The client for publishing, subscribing, requests and replies."""

    @property
    def wire(self) -> Wire:
        """The message layout in use for this gateway, and the reason for it.

        The attributes are `origin`, `generation`, `reason` and `differences`; `str()` returns all
        of them as text. The client looks the layout up with the first call, and again after the
        connection broke. The documentation page "The gateway's wire" has the details.
        """
        return self._discovery.wire

    @property
    def target(self) -> str:
        """The gateway's address as a gRPC target, or `the given channel` for a channel of yours."""
        return self._transport.peer

    @property
    def closed(self) -> bool:
        """True once the client has been closed."""
        return self._transport.closed

    async def connect(self, *, timeout: Timeout = NOT_GIVEN) -> None:
        """Waits until the gateway's health service reports that the gateway is serving.

        A gateway that answers but has no health service counts as serving.

        Args:
            timeout: Seconds to wait. If omitted, the client's default; None means no limit.

        Raises:
            UnavailableError: The last attempt failed to connect, or the gateway answered that it is
                not serving. The error reports that failure.
            DeadlineExceededError: Every attempt ran out of time without an answer.
            VirtufinError: The gateway answered with an error that waiting will not change.
        """
        await wait_for_gateway(self._transport, timeout)

    async def diagnose(
        self, *, timeout: float = 5.0, publish: bool = True, topic: str | None = None
    ) -> Report:
        """Checks whether this client can work with the gateway.

        The checks cover reachability, health, TLS, authentication, reflection, each difference
        between the gateway's descriptors and the installed protos, and an event that is published
        and must come back.

        Args:
            timeout: Seconds that each check may take.
            publish: True publishes an event and waits until it comes back. False skips this check.
            topic: Topic of that event; default `virtufin.doctor`.

        Returns:
            The report: `ok`, `checks`, `as_dict()`, and a table by `str()`.
        """
        # Imported here, because few programs diagnose anything.
        from virtufin.api.client._diagnose import TOPIC, Diagnosis

        diagnosis = Diagnosis(
            self._rpc,
            # None skips the two checks of the layout, because nothing is looked up then.
            self._discovery if self._settings.wire == "auto" else None,
            self.gateway,
            self.pubsub,
            timeout=require_positive("timeout", timeout),
        )
        where = TOPIC if topic is None else require_name(topic, "topic")
        return await diagnosis.report(publish=require_bool(publish, "publish"), topic=where)

    async def close(self) -> None:
        """Ends every stream, call and background task, and waits 5 s at most for them. Idempotent.

        Calls in flight fail with ClientClosedError, and so does every later call. Iterations over
        subscriptions end without an error.
        """
        await self._transport.close()

    async def __aenter__(self) -> ApiClient:
        """Opens the channel; does not wait for the gateway."""
        await self._transport.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes the client."""
        await self.close()

    async def list_services_async(self, *, timeout: Timeout = NOT_GIVEN) -> list[str]:
        """Returns the names of the registered backends."""
        return await self.gateway.list_services_async(timeout=timeout)

    async def list_methods_async(
        self, service: str, *, timeout: Timeout = NOT_GIVEN
    ) -> list[MethodInfo]:
        """Returns the methods of a backend."""
        return await self.gateway.list_methods_async(service, timeout=timeout)

    async def invoke_async(
        self,
        service: str,
        method: str,
        request_data: Request = None,
        *,
        timeout: Timeout = NOT_GIVEN,
    ) -> Any:
        """Calls a backend's method with a dict; see `GatewayClient.invoke_async`."""
        return await self.gateway.invoke_async(service, method, request_data, timeout=timeout)

    async def save_state_async(
        self,
        service: str,
        key: str,
        value: str,
        etag: str | None = None,
        *,
        include_value: bool = False,
        publish_change: bool = False,
        timeout: Timeout = NOT_GIVEN,
    ) -> StatusResult:
        """Writes a key; see `StateClient.save`."""
        return await self.state.save(
            service,
            key,
            value,
            etag,
            include_value=include_value,
            publish_change=publish_change,
            timeout=timeout,
        )

    async def get_state_async(
        self, service: str, key: str, *, timeout: Timeout = NOT_GIVEN
    ) -> StateResult:
        """Reads a key; see `StateClient.get`."""
        return await self.state.get(service, key, timeout=timeout)

    async def get_all_state_async(
        self, service: str, *, timeout: Timeout = NOT_GIVEN
    ) -> AllStateResult:
        """Reads the values of all registered keys; see `StateClient.get_all_state`."""
        return await self.state.get_all_state(service, timeout=timeout)

    async def register_keys_async(
        self, service: str, keys: str | Iterable[str], *, timeout: Timeout = NOT_GIVEN
    ) -> StatusResult:
        """Registers keys, so that `get_all_state_async` returns their values."""
        return await self.state.register_keys(service, keys, timeout=timeout)

    async def subscribe_async_with_handler(
        self,
        handler: Handler,
        services: str | Iterable[str] | None = None,
        topics: str | Iterable[str] | None = None,
        event_types: str | Iterable[str] | None = None,
        *,
        topic: str | None = None,
        max_concurrency: int = 1,
        max_attempts: int = 1,
        retry_backoff: float = 0.1,
        dead_letter: bool = False,
        timeout: Timeout = NOT_GIVEN,
    ) -> HandlerSubscription:
        """Calls a handler with each event; see `PubsubClient.subscribe_async_with_handler`."""
        return await self.pubsub.subscribe_async_with_handler(
            handler,
            services,
            topics,
            event_types,
            topic=topic,
            max_concurrency=max_concurrency,
            max_attempts=max_attempts,
            retry_backoff=retry_backoff,
            dead_letter=dead_letter,
            timeout=timeout,
        )

    def __repr__(self) -> str:
        return f"<ApiClient at {self.target}{', closed' if self.closed else ''}>"


def _interceptors(interceptors: Sequence[Any] | None) -> tuple[Any, ...]:
    given = interceptors if isinstance(interceptors, (list, tuple)) else (interceptors,)
    if interceptors is None:
        return ()
    for interceptor in given:
        if not isinstance(interceptor, aio.ClientInterceptor):
            raise InvalidInputError(
                f"interceptors must be grpc.aio client interceptors, not {short_repr(interceptor)}"
            )
    return tuple(given)


def _refuse_beside_channel(**settings: object) -> None:
    # An error instead of ignoring these settings, because they are fixed when a channel is created
    # and would have no effect on an existing channel.
    given = sorted(name for name, value in settings.items() if value is not None)
    if given:
        raise InvalidInputError(
            f"channel= excludes {', '.join(given)}: they are fixed when a channel is made"
        )
