"""What the methods of the backends take and answer, learned from the gateway's reflection.

A registered name such as `workmanager` is an alias of its gRPC service there (contract,
"reflection"). Each backend has a descriptor pool of its own, because backends reuse package and
message names. Fetched at the first call to it, once however many calls wait for that; again on
another connection, and when a reply does not fit.
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

from virtufin.api.client._backoff import Pause
from virtufin.api.client._deadlines import Budget
from virtufin.api.client._protobuf import (
    INFRASTRUCTURE,
    ReflectionError,
    ReflectionUnavailableError,
    SymbolNotFoundError,
    build_pool,
)
from virtufin.api.client._wire import Discovery, Rpc
from virtufin.api.client.errors import VirtufinError

from .decoder import Completer
from .encoder import Encoder

logger = logging.getLogger("virtufin.api.client.gateway")

LIFETIME = 300.0
"""Seconds after which a schema is asked for again beside the next call, in case it has changed in a
way that no reply shows."""


class Schema:
    """The methods of one backend as far as they are known."""

    def __init__(
        self,
        methods: dict[str, MethodDescriptor],
        *,
        fetched_at: float = 0.0,
        reason: str = "",
        silent: bool = False,
        fingerprint: bytes = b"",
    ) -> None:
        self.fetched_at = fetched_at
        """When fetching it began, on the monotonic clock."""
        self.methods = methods
        """By short name."""
        self.reason = reason
        """Why nothing is known; empty where something is."""
        self.silent = silent
        """Whether reflection did not answer about it, and is not asked again on this connection."""
        self.completer = Completer()
        self.encoder = Encoder()
        self.fingerprint = fingerprint
        """The same for schemas that say the same."""
        self.until = time.monotonic() + LIFETIME
        """When it is asked for again."""


_LATE = Schema({}, reason="it was not told in time")


class Schemas:
    """The schemas of all backends behind one gateway."""

    def __init__(self, rpc: Rpc, discovery: Discovery) -> None:
        self._rpc = rpc
        self._transport = rpc.transport
        self._discovery = discovery
        self._known: dict[str, Schema] = {}
        self._fetching: dict[str, asyncio.Task[None]] = {}
        self._pauses: dict[str, Pause] = {}

    def known(self, service: str) -> Schema | None:
        """What is known of a backend now."""
        return self._known.get(service)

    async def of(self, service: str, budget: Budget) -> Schema:
        """The schema of a backend; waits for it, half of what is left of the budget at most.

        To be called with the place of a call acquired, so that a new connection was noticed.
        """
        known = self._known.get(service)
        if known is None or known.fetched_at < self._discovery.connected_at:
            await self._fetch(service, budget)
        elif time.monotonic() >= known.until:
            _ = self._begin(service)  # Beside this call, for the next ones.
        return self._known.get(service) or _LATE

    async def renewed(self, service: str, budget: Budget) -> Schema:
        """The schema of a backend, fetched again unless that was of no use a short while ago."""
        pause = self._pauses.setdefault(service, Pause())
        before = self._known.get(service)
        if before is not None and before.silent:
            return before
        if pause.over:
            await self._fetch(service, budget)
            after = self._known.get(service)
            if before is not None and after is not None and after.fingerprint == before.fingerprint:
                pause.longer()
            else:
                pause.reset()
        return self._known.get(service) or _LATE

    async def _fetch(self, service: str, budget: Budget) -> None:
        task = self._begin(service)
        await asyncio.wait((task,), timeout=budget.at_most(2 * self._discovery.timeout, 0.5))
        self._transport.check()

    def _begin(self, service: str) -> asyncio.Task[None]:
        task = self._fetching.get(service)
        if task is None:
            self._transport.check()
            task = self._transport.spawn(self._ask(service), f"virtufin-schema {service}")
            self._fetching[service] = task
            task.add_done_callback(lambda _: self._fetching.pop(service, None))
        return task

    async def _ask(self, service: str) -> None:
        now = time.monotonic()
        try:
            methods, fingerprint = await self._methods(service)
            fetched = Schema(methods, fetched_at=now, fingerprint=fingerprint)
        except Exception as error:  # noqa: BLE001 - whatever it tells, calls go on
            reason = self._transport.secrets.redact(str(error) or repr(error))
            logger.debug("the types of %s are not known: %s", service, reason)
            code = error.code if isinstance(error, ReflectionUnavailableError) else None
            silent = code is grpc.StatusCode.DEADLINE_EXCEEDED
            fetched = Schema({}, fetched_at=now, reason=reason, silent=silent)
        known = self._known.get(service)
        same = known is not None and known.fingerprint == fetched.fingerprint
        if known is not None and (same or not fetched.methods):
            known.fetched_at, known.until = now, fetched.until
        else:
            self._known[service] = fetched

    async def _methods(self, service: str) -> tuple[dict[str, MethodDescriptor], bytes]:
        """All methods of a backend, and a fingerprint of what describes them.

        Those that its alias leaves open by what the gateway lists.
        """
        digest = hashlib.sha256()
        try:
            found = await self._by_name(service, digest)
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
                    with suppress(SymbolNotFoundError):
                        others[owner] = await self._by_name(owner, digest)
                candidates = [one for one in others[owner].get(name, ()) if _owner(one) == owner]
            chosen.update((name, one) for one in candidates)
        return chosen, digest.digest()

    async def _by_name(self, symbol: str, digest: Any) -> dict[str, list[MethodDescriptor]]:
        files = await self._discovery.files(symbol)
        # Large ones take long to be read.
        return await asyncio.to_thread(_by_name, files, digest)

    async def _owners(self, service: str) -> dict[str, str]:
        """The gRPC service of each method, as the gateway lists them."""
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
    """The methods of all services in these files, in a descriptor pool of their own."""
    pool: Any = build_pool(files)
    found: dict[str, list[MethodDescriptor]] = {}
    for file in sorted(files, key=lambda one: one.name):
        digest.update(file.SerializeToString(deterministic=True))
        for service in pool.FindFileByName(file.name).services_by_name.values():
            if not service.full_name.startswith(INFRASTRUCTURE):
                for method in service.methods:
                    found.setdefault(method.name, []).append(method)
    return found


def _owner(method: MethodDescriptor) -> str:
    return str(method.containing_service.full_name)
