"""Calls to backends, with the time limits, retries and circuits of the documented gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from virtufin.api.emulator._settings import InvocationPolicy
from virtufin.api.emulator._status_errors import StatusError

from .catalog import BackendMethod, Catalog
from .registered_services import Registry, Service


class Circuit:
    """A circuit breaker for one backend.

    After a number of failed calls in a row the circuit is open: calls are refused without being
    sent. After a time one call is tried. Its success closes the circuit.

    Args:
        failures: Number of failed calls in a row that open the circuit.
        open_for: Seconds for which the circuit stays open.
    """

    def __init__(self, failures: int, open_for: float) -> None:
        self._limit = failures
        self._open_for = open_for
        self._failures = 0
        self._opened: float | None = None

    def reserve_attempt(self, now: float) -> float:
        """Returns 0 if the caller may send a call now, or else the seconds until it may try again.

        When the time of an open circuit is over, only one caller gets 0. The circuit stays open for
        the others until the outcome of that call is recorded, or the time is over again.

        Args:
            now: Current time in seconds, on the clock that the other methods use.
        """
        if self._opened is None:
            return 0.0
        left = self._opened + self._open_for - now
        if left > 0:
            return left
        # Opened again, so that only this caller gets 0.
        self._opened = now
        return 0.0

    def record_answer(self) -> None:
        """Records that the backend has answered, with any status. Closes the circuit."""
        self._failures = 0
        self._opened = None

    def record_failure(self, now: float) -> None:
        """Records that the backend has not answered. Opens the circuit after enough failures.

        Args:
            now: Current time in seconds, on the clock that the other methods use.
        """
        self._failures += 1
        if self._failures >= self._limit:
            self._opened = now


Metadata = Sequence[tuple[str, str | bytes]]


@dataclass(frozen=True)
class Request:
    """A request to a backend, before its message type is known."""

    text: bytes
    """The request as the client has sent it."""
    json: bool
    """True if the request is JSON."""
    # A function, because the JSON can be parsed only after the method's descriptor is known.
    serialize: Callable[[BackendMethod], bytes]
    """Function that returns the serialized request message for a method; may raise
    `InvocationError`."""


# The names by which the documented gateway reports the failures of backends.
_STATUS = {
    grpc.StatusCode.INTERNAL: "INTERNAL",
    grpc.StatusCode.DATA_LOSS: "INTERNAL",
    grpc.StatusCode.INVALID_ARGUMENT: "INVALID_REQUEST",
    grpc.StatusCode.FAILED_PRECONDITION: "INVALID_REQUEST",
    grpc.StatusCode.OUT_OF_RANGE: "INVALID_REQUEST",
    grpc.StatusCode.ALREADY_EXISTS: "INVALID_REQUEST",
    grpc.StatusCode.NOT_FOUND: "NOT_FOUND",
    grpc.StatusCode.UNAVAILABLE: "UNAVAILABLE",
    grpc.StatusCode.DEADLINE_EXCEEDED: "UNAVAILABLE",
    grpc.StatusCode.UNIMPLEMENTED: "UNSUPPORTED",
}
# Prefix of the headers by which a call controls its sidecar.
_DAPR_PREFIX = "dapr-"
# Texts of a sidecar that did not reach an app. They are needed, because the sidecar reports this as
# INTERNAL or UNKNOWN, which callers take for a failure of the app.
_NOT_REACHED = ("couldn't find service", "timeout waiting for address", "code = Unavailable")
# Only these count as failures for a circuit, because any other status is an answer.
_NO_ANSWER = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class InvocationError(Exception):
    """Raised if a call to a backend failed. The gateway reports the failure in its reply.

    Args:
        status: Name of the failure in the reply, such as `UNAVAILABLE`.
        message: Text for the client.
    """

    def __init__(self, status: str, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class Invoker:
    """Calls methods of the registered backends.

    Args:
        registry: The registered backends.
        catalog: Catalog with the methods of the backends and the channels to them.
        policy: Time limits and retries.
    """

    def __init__(self, registry: Registry, catalog: Catalog, policy: InvocationPolicy) -> None:
        self._registry = registry
        self._catalog = catalog
        self._policy = policy
        self._circuits: dict[str, Circuit] = {}

    def reset(self) -> None:
        """Closes all circuits, so that calls are tried again."""
        self._circuits.clear()

    async def call(
        self,
        service_name: str,
        method_name: str,
        request: Request,
        *,
        metadata: Metadata,
        time_left: float | None,
    ) -> tuple[BackendMethod | None, bytes]:
        """Calls a method of a backend and returns the reply. Retries while it is UNAVAILABLE.

        Args:
            service_name: Name of the backend.
            method_name: Short name of the method.
            request: Request to send.
            metadata: Metadata to pass on to the backend.
            time_left: Seconds until the deadline of the client's call. None means no deadline.

        Returns:
            The method and the serialized reply. The method is None for an app without reflection.

        Raises:
            InvocationError: The call failed, in the backend or before it reached the backend.
        """
        service = self._registry.get(service_name)
        if service is None:
            raise InvocationError("NOT_FOUND", f"unknown service {service_name!r}")
        clock = asyncio.get_running_loop().time
        limit = self._policy.call_limit
        limit = limit if time_left is None else min(limit, time_left)
        circuit = self._get_circuit(service_name)
        if wait := circuit.reserve_attempt(clock()):
            raise InvocationError(
                "UNAVAILABLE",
                f"the circuit of {service_name} is open after repeated failures, "
                f"for another {wait:.1f} s",
            )
        try:
            result = await self._call_with_retries(
                service, method_name, request, metadata, clock() + limit
            )
        except StatusError as error:
            if error.code in _NO_ANSWER:
                circuit.record_failure(clock())
            else:
                # An error is an answer, so the backend is available.
                circuit.record_answer()
            status = _STATUS.get(error.code, "UNKNOWN")
            if service.dapr_app and any(words in error.details for words in _NOT_REACHED):
                status = "UNAVAILABLE"
            raise InvocationError(
                status,
                f"{service_name}/{method_name}: {error.code.name}: {error.details}",
            ) from error
        circuit.record_answer()
        return result

    async def _call_with_retries(
        self,
        service: Service,
        method_name: str,
        request: Request,
        metadata: Metadata,
        deadline: float,
    ) -> tuple[BackendMethod | None, bytes]:
        clock = asyncio.get_running_loop().time
        delay = self._policy.retry_delay
        for retries_left in reversed(range(self._policy.retries + 1)):
            try:
                return await self._attempt(service, method_name, request, metadata, deadline)
            except StatusError as error:
                # Only UNAVAILABLE, because the documented gateway retries nothing else.
                out_of_time = clock() + delay >= deadline
                if error.code is not grpc.StatusCode.UNAVAILABLE or not retries_left or out_of_time:
                    raise
            await asyncio.sleep(delay)
            delay *= 2
        raise AssertionError("unreachable")

    async def _attempt(
        self,
        service: Service,
        method_name: str,
        request: Request,
        metadata: Metadata,
        deadline: float,
    ) -> tuple[BackendMethod | None, bytes]:
        left = deadline - asyncio.get_running_loop().time()
        if service.dapr_app:
            # Removed, because a caller could otherwise choose another app or the sidecar's token.
            metadata = [pair for pair in metadata if not pair[0].startswith(_DAPR_PREFIX)]
        if service.is_untyped:
            return None, await self._invoke_app(service, method_name, request, metadata, left)
        method = await self._catalog.find_method(service, method_name)
        if method is None:
            raise InvocationError("NOT_FOUND", f"{service.name} has no method {method_name!r}")
        if not method.unary:
            raise InvocationError(
                "UNSUPPORTED",
                f"{service.name}/{method_name} streams; only unary methods can be called",
            )
        payload = request.serialize(method)
        send: Any = self._catalog.get_channel(service).unary_unary(method.path)
        # Computed again, because fetching the descriptors may have taken a part of the time.
        left = deadline - asyncio.get_running_loop().time()
        try:
            headers = (*metadata, *self._catalog.get_metadata(service))
            reply: bytes = await send(payload, timeout=max(left, 0.0), metadata=headers)
        except grpc.aio.AioRpcError as error:
            raise StatusError(error.code(), error.details() or "") from error
        return method, reply

    async def _invoke_app(
        self, service: Service, method: str, request: Request, metadata: Metadata, left: float
    ) -> bytes:
        assert self._catalog.route is not None
        return await self._catalog.route.invoke(
            service.dapr_app,
            method,
            request.text,
            json=request.json,
            timeout=max(left, 0.0),
            metadata=metadata,
        )

    def _get_circuit(self, name: str) -> Circuit:
        if name not in self._circuits:
            policy = self._policy
            self._circuits[name] = Circuit(policy.circuit_failures, policy.circuit_open)
        return self._circuits[name]
