"""The connection of a gateway to its Dapr sidecar."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
from dapr.proto import api_service_v1, api_v1, common_v1

from virtufin.api.client._transport import drain_notifications
from virtufin.api.client._types import NOT_GIVEN
from virtufin.api.dapr._sidecar import endpoint
from virtufin.api.emulator._ports import CHANNEL_OPTIONS
from virtufin.api.emulator._settings import DaprSettings
from virtufin.api.emulator._status_errors import StatusError

# A sidecar's status is replaced, because callers take UNIMPLEMENTED for a call that the gateway
# lacks, and UNAUTHENTICATED for a wrong key to the gateway.
_OWN_STATUS = {
    grpc.StatusCode.UNIMPLEMENTED: grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNAUTHENTICATED: grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.CANCELLED: grpc.StatusCode.UNAVAILABLE,
}
# No limit here, because the sidecar has its own limit and reports it.
_OPTIONS = (*CHANNEL_OPTIONS, ("grpc.max_receive_message_length", -1))


class SidecarConnection:
    """A gRPC channel to the sidecar, between `open` and `close`.

    Args:
        settings: Settings of the sidecar.
    """

    def __init__(self, settings: DaprSettings) -> None:
        token = NOT_GIVEN if settings.api_token is None else settings.api_token
        self._endpoint = endpoint.resolve_endpoint(settings.address, token)
        self._timeout = settings.timeout
        self._channel: grpc.aio.Channel | None = None
        self.stub: Any = None

    @property
    def address(self) -> str:
        """The gRPC target of the sidecar."""
        return self._endpoint.target

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The metadata of every call to the sidecar: the token, if there is one."""
        token = self._endpoint.token
        return ((endpoint.TOKEN_HEADER, token),) if token else ()

    @property
    def is_open(self) -> bool:
        """True between `open` and `close`."""
        return self._channel is not None

    def open(self) -> None:
        """Creates the channel, without waiting for the sidecar. `close` closes it."""
        self._channel = self.open_channel()
        self.stub = api_service_v1.DaprStub(self._channel)  # type: ignore[no-untyped-call]

    def open_channel(self) -> grpc.aio.Channel:
        """Returns a new channel to the sidecar. The caller must close it."""
        if self._endpoint.tls:
            credentials = grpc.ssl_channel_credentials()
            return grpc.aio.secure_channel(self.address, credentials, options=_OPTIONS)
        return grpc.aio.insecure_channel(self.address, options=_OPTIONS)

    async def close(self) -> None:
        """Closes the channel and ends the calls on it. Idempotent."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()
            # Before grpcio 1.78 gRPC can hang when its last channel goes, because it waits for a
            # thread that waits for the event loop. This gives the loop the turns it needs.
            await drain_notifications()

    async def call(self, name: str, request: Any) -> Any:
        """Calls a unary method of the sidecar and returns the reply message.

        Args:
            name: Short name of the method.
            request: Request message.

        Raises:
            StatusError: The call failed. The status is that of `make_error`.
        """
        try:
            return await getattr(self.stub, name)(
                request, timeout=self._timeout, metadata=self.metadata
            )
        except grpc.aio.AioRpcError as error:
            raise self.make_error(error) from error

    async def invoke(
        self, app_id: str, method: str, data: bytes, *, json: bool, timeout: float, metadata: Any
    ) -> bytes:
        """Calls a method of an app by Dapr's service invocation and returns the data of the reply.

        Args:
            app_id: App-id of the app.
            method: Name of the method.
            data: Data of the request.
            json: True if the data is JSON, False if it is bytes of any form.
            timeout: Seconds that the call may take.
            metadata: Further metadata of the call.

        Raises:
            StatusError: The call failed. The status is that of the sidecar or the app.
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
            raise StatusError(error.code(), error.details() or "") from error
        value: bytes = reply.data.value
        return value

    def make_error(self, error: grpc.aio.AioRpcError) -> StatusError:
        """Returns the error for the client's call after a call to the sidecar has failed.

        A status that clients would take for the gateway's own is replaced.

        Args:
            error: The error of the call to the sidecar.
        """
        code = error.code()
        details = error.details() or code.name
        return StatusError(
            _OWN_STATUS.get(code, code), f"the gateway's Dapr sidecar at {self.address}: {details}"
        )
