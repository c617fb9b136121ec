"""Request and reply types of the backends' methods, fetched from the gateway's reflection service.

In the reflection service, a registered name such as `workmanager` is an alias of the backend's gRPC
service. Each backend has a descriptor pool of its own, because backends reuse package and message
names. A schema is the descriptors of one backend. It is fetched at the first call to the backend,
once for all concurrent calls. It is fetched again after a new connection, and when a reply does not
fit.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from virtufin.api.client._backoff import RetryDelay
from virtufin.api.client._deadlines import Budget
from virtufin.api.client._protobuf import (
    INFRASTRUCTURE,
    ReflectionError,
    ReflectionUnavailableError,
    SymbolNotFoundError,
    build_pool,
)
from virtufin.api.client._wire import LIFETIME, Discovery, Rpc
from virtufin.api.client.errors import VirtufinError

from .decoder import ReplyDecoder
from .encoder import RequestEncoder

logger = logging.getLogger("virtufin.api.client.gateway")


class Schema:
    """The known methods of a backend."""

    def __init__(
        self,
        methods: dict[str, MethodDescriptor],
        *,
        fetched_at: float = 0.0,
        reason: str = "",
        timed_out: bool = False,
        fingerprint: bytes = b"",
    ) -> None:
        self.fetched_at = fetched_at
        """Time at which the fetch began, on the monotonic clock."""
        self.methods = methods
        """Descriptors of the methods by short name."""
        self.reason = reason
        """Explanation why no method is known; empty if methods are known."""
        self.timed_out = timed_out
        """True if the fetch timed out; then `Schemas.refresh` does not fetch again."""
        # Both belong to the schema, because they cache fields by message name, and another backend
        # may have other messages of the same names.
        self.decoder = ReplyDecoder()
        self.encoder = RequestEncoder()
        self.fingerprint = fingerprint
        """Digest of the descriptors; equal for schemas with the same content."""
        # As the message layout, because a backend may have changed in a way that no reply shows.
        self.expires_at = time.monotonic() + LIFETIME
        """Time after which the next call fetches the schema again, on the monotonic clock."""


_LATE = Schema({}, reason="the gateway did not describe it in time")


class Schemas:
    """The schemas of all backends behind a gateway."""

    def __init__(self, rpc: Rpc, discovery: Discovery) -> None:
        self._rpc = rpc
        self._transport = rpc.transport
        self._discovery = discovery
        self._known: dict[str, Schema] = {}
        self._fetching: dict[str, asyncio.Task[None]] = {}
        self._pauses: dict[str, RetryDelay] = {}

    def known(self, service: str) -> Schema | None:
        """Returns the schema of a backend, or None if no schema was fetched yet; sends nothing."""
        return self._known.get(service)

    async def of(self, service: str, budget: Budget) -> Schema:
        """Returns the schema of a backend, fetched first if necessary.

        Callers must hold the lease of a call, because acquiring a lease notices a new connection.

        Args:
            service: Registered name of the backend.
            budget: The time that is left for the call. The fetch takes at most half of it.
        """
        known = self._known.get(service)
        if known is None or known.fetched_at < self._discovery.connected_at:
            await self._fetch(service, budget)
        elif time.monotonic() >= known.expires_at:
            # Not awaited, because this call can use the old schema and only later calls need
            # the new schema.
            _ = self._start_fetch(service)
        return self._known.get(service) or _LATE

    async def refresh(self, service: str, budget: Budget) -> Schema:
        """Returns the schema of a backend, fetched again because a reply does not fit it.

        Does not fetch if a recent fetch changed nothing, or if the last fetch timed out.

        Args:
            service: Registered name of the backend.
            budget: The time that is left for the call. The fetch takes at most half of it.
        """
        # With growing pauses, because a backend whose replies never fit would be looked up at
        # every call otherwise.
        pause = self._pauses.setdefault(service, RetryDelay())
        before = self._known.get(service)
        if before is not None and before.timed_out:
            return before
        if pause.elapsed:
            await self._fetch(service, budget)
            after = self._known.get(service)
            if before is not None and after is not None and after.fingerprint == before.fingerprint:
                pause.failed()
            else:
                pause.reset()
        return self._known.get(service) or _LATE

    async def _fetch(self, service: str, budget: Budget) -> None:
        task = self._start_fetch(service)
        # `wait` instead of `wait_for`, because other calls may wait for the same task and it must
        # not be cancelled when the time of this call is up.
        await asyncio.wait((task,), timeout=budget.at_most(2 * self._discovery.timeout, 0.5))
        self._transport.check()

    def _start_fetch(self, service: str) -> asyncio.Task[None]:
        task = self._fetching.get(service)
        if task is None:
            self._transport.check()
            task = self._transport.spawn(self._look_up(service), f"virtufin-schema {service}")
            self._fetching[service] = task
            task.add_done_callback(lambda _: self._fetching.pop(service, None))
        return task

    async def _look_up(self, service: str) -> None:
        now = time.monotonic()
        try:
            methods, fingerprint = await self._methods(service)
            fetched = Schema(methods, fetched_at=now, fingerprint=fingerprint)
        except Exception as error:  # noqa: BLE001 - because calls work without a schema
            reason = self._transport.credentials.redact(str(error) or repr(error))
            logger.debug("the types of %s are not known: %s", service, reason)
            code = error.code if isinstance(error, ReflectionUnavailableError) else None
            # A timeout is remembered, because another fetch would cost every call that time again.
            timed_out = code is grpc.StatusCode.DEADLINE_EXCEEDED
            fetched = Schema({}, fetched_at=now, reason=reason, timed_out=timed_out)
        known = self._known.get(service)
        same = known is not None and known.fingerprint == fetched.fingerprint
        # The old schema is kept if the fetch failed, because an old schema is better than none. The
        # old schema is also kept if nothing changed, because its caches are filled.
        if known is not None and (same or not fetched.methods):
            known.fetched_at, known.expires_at = now, fetched.expires_at
        else:
            self._known[service] = fetched

    async def _methods(self, service: str) -> tuple[dict[str, MethodDescriptor], bytes]:
        """Returns all methods of a backend, and a fingerprint of their descriptors.

        If the files that reflection returns for the registered name define no gRPC service, or
        several, `Gateway.ListMethods` decides which methods belong to the backend.
        """
        digest = hashlib.sha256()
        try:
            found = await self._by_name(service, digest)
        # A gateway may not know the alias, so the services are then looked up by their full names.
        except SymbolNotFoundError:
            found = {}
        if len({_owner(one) for methods in found.values() for one in methods}) == 1:
            chosen = {name: methods[0] for name, methods in found.items()}
            return chosen, digest.digest()
        chosen = {}
        others: dict[str, dict[str, list[MethodDescriptor]]] = {}
        for name, owner in (await self._owners(service)).items():
            candidates = [one for one in found.get(name, ()) if _owner(one) == owner]
            if not candidates:
                if owner not in others:
                    others[owner] = {}
                    # Suppressed, because the methods of the other services are useful without it.
                    with suppress(SymbolNotFoundError):
                        others[owner] = await self._by_name(owner, digest)
                candidates = [one for one in others[owner].get(name, ()) if _owner(one) == owner]
            chosen.update((name, one) for one in candidates)
        return chosen, digest.digest()

    async def _by_name(self, symbol: str, digest: Any) -> dict[str, list[MethodDescriptor]]:
        files = await self._discovery.files(symbol)
        # In a thread, because building a pool of large descriptors would block the event loop.
        return await asyncio.to_thread(_by_name, files, digest)

    async def _owners(self, service: str) -> dict[str, str]:
        """Returns the full name of each method's gRPC service by `Gateway.ListMethods`."""
        budget = self._rpc.budget(self._discovery.timeout)
        fields = {"service": service}
        try:
            reply = await self._rpc.unary("Gateway.ListMethods", fields, budget, service=service)
        except VirtufinError as error:
            raise ReflectionError(f"its methods are not listed: {error.message}") from error
        return {
            method.name: method.full_name.replace("/", ".").strip(".").rpartition(".")[0]
            for method in reply.methods
        }


def _by_name(
    files: Sequence[FileDescriptorProto], digest: Any
) -> dict[str, list[MethodDescriptor]]:
    """Returns the methods of all services in these files, from a new descriptor pool.

    Args:
        files: The files, with all they import.
        digest: Hash object, which this function updates with the content of the files.
    """
    pool: Any = build_pool(files)
    found: dict[str, list[MethodDescriptor]] = {}
    # Sorted, because the digest must not depend on the order in which the files came.
    for file in sorted(files, key=lambda one: one.name):
        digest.update(file.SerializeToString(deterministic=True))
        for service in pool.FindFileByName(file.name).services_by_name.values():
            if not service.full_name.startswith(INFRASTRUCTURE):
                for method in service.methods:
                    found.setdefault(method.name, []).append(method)
    return found


def _owner(method: MethodDescriptor) -> str:
    return str(method.containing_service.full_name)
