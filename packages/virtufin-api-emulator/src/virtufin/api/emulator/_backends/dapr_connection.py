"""The connection of a gateway to its sidecar."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
from dapr.proto import api_service_v1, api_v1, common_v1

from virtufin.api.client._transport import settle
from virtufin.api.client._types import NOT_GIVEN
from virtufin.api.dapr._sidecar import endpoint
from virtufin.api.emulator._ports import CHANNEL_OPTIONS
from virtufin.api.emulator._settings import DaprSettings
from virtufin.api.emulator._status_errors import RefusedError

# UNIMPLEMENTED would say that the gateway lacks the call, UNAUTHENTICATED that its key is wrong.
_OWN_STATUS = {
    grpc.StatusCode.UNIMPLEMENTED: grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNAUTHENTICATED: grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.CANCELLED: grpc.StatusCode.UNAVAILABLE,
}
# The sidecar knows its own limit and says so.
_OPTIONS = (*CHANNEL_OPTIONS, ("grpc.max_receive_message_length", -1))


class Link:
    """A channel to the sidecar, between `open` and `close`."""

    def __init__(self, settings: DaprSettings) -> None:
        token = NOT_GIVEN if settings.api_token is None else settings.api_token
        self._endpoint = endpoint.endpoint(settings.address, token)
        self._timeout = settings.timeout
        self._channel: grpc.aio.Channel | None = None
        self.stub: Any = None

    @property
    def address(self) -> str:
        """Where the sidecar is."""
        return self._endpoint.target

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What every call carries."""
        token = self._endpoint.token
        return ((endpoint.TOKEN_HEADER, token),) if token else ()

    @property
    def is_open(self) -> bool:
        """Whether there is a channel."""
        return self._channel is not None

    def open(self) -> None:
        """Makes the channel; does not wait for the sidecar."""
        self._channel = self.new_channel()
        self.stub = api_service_v1.DaprStub(self._channel)  # type: ignore[no-untyped-call]

    def new_channel(self) -> grpc.aio.Channel:
        """Another channel to the sidecar, of the caller's own."""
        if self._endpoint.tls:
            credentials = grpc.ssl_channel_credentials()
            return grpc.aio.secure_channel(self.address, credentials, options=_OPTIONS)
        return grpc.aio.insecure_channel(self.address, options=_OPTIONS)

    async def close(self) -> None:
        """Ends what runs on the channel."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()
            await settle()

    async def call(self, name: str, request: Any) -> Any:
        """Calls a unary method of the sidecar.

        Raises:
            RefusedError: It failed.
        """
        try:
            return await getattr(self.stub, name)(
                request, timeout=self._timeout, metadata=self.metadata
            )
        except grpc.aio.AioRpcError as error:
            raise self.refusal(error) from error

    async def invoke(
        self, app_id: str, method: str, data: bytes, *, json: bool, timeout: float, metadata: Any
    ) -> bytes:
        """Calls a method of an app by Dapr's service invocation, and returns the data it answers.

        Raises:
            RefusedError: The call failed.
        """
        message = common_v1.InvokeRequest(
            method=method, content_type="application/json" if json else "application/octet-stream"
        )
        message.data.value = data
        request = api_v1.InvokeServiceRequest(id=app_id, message=message)
        try:
            reply = await self.stub.InvokeService(
                request, timeout=timeout, metadata=(*metadata, *self.metadata)
            )
        except grpc.aio.AioRpcError as error:
            raise RefusedError(error.code(), error.details() or "") from error
        value: bytes = reply.data.value
        return value

    def refusal(self, error: grpc.aio.AioRpcError) -> RefusedError:
        """What a failed call to the sidecar means for the call to the gateway."""
        code = error.code()
        details = error.details() or code.name
        return RefusedError(
            _OWN_STATUS.get(code, code), f"the gateway's Dapr sidecar at {self.address}: {details}"
        )
