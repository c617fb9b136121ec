"""What the methods of the backends take and answer, learned from the gateway's reflection.

A registered name such as `workmanager` is an alias of its gRPC service there (contract,
"reflection"). Each backend has a descriptor pool of its own, because backends reuse package and
message names. Fetched at the first call to it, once however many calls wait for that; again on
another connection, and when a reply does not fit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from virtufin.api.client._complete import Completer
from virtufin.api.client._deadline import Budget
from virtufin.api.client._natural import Encoder
from virtufin.api.client._reflection import (
    ReflectionError,
    SymbolNotFoundError,
    build_pool,
)
from virtufin.api.client._reflector import Reflector
from virtufin.api.client._transport import Transport
from virtufin.api.client._wire import Wire
from virtufin.api.client.errors import VirtufinError

logger = logging.getLogger("virtufin.api.client.gateway")

_INFRASTRUCTURE = ("grpc.reflection.", "grpc.health.", "grpc.channelz.")
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0


class Schema:
    """The methods of one backend as far as they are known."""

    def __init__(
        self, connection: int, methods: dict[str, MethodDescriptor], reason: str = ""
    ) -> None:
        self.connection = connection
        self.methods = methods
        """By short name."""
        self.reason = reason
        """Why nothing is known; empty where something is."""
        self.completer = Completer()
        self.encoder = Encoder()
        self._shapes = {name: _shape(method) for name, method in methods.items()}

    def says_the_same(self, other: Schema) -> bool:
        """Whether both describe the same methods in the same words."""
        return self._shapes == other._shapes


class Schemas:
    """The schemas of all backends behind one gateway."""

    def __init__(self, transport: Transport, reflector: Reflector, wire: Wire) -> None:
        self._transport = transport
        self._reflector = reflector
        self._wire = wire
        self._known: dict[str, Schema] = {}
        self._fetching: dict[str, asyncio.Task[None]] = {}
        self._pauses: dict[str, tuple[float, float]] = {}

    def known(self, service: str) -> Schema | None:
        """What is known of a backend now."""
        return self._known.get(service)

    async def of(self, service: str, budget: Budget) -> Schema:
        """The schema of a backend; waits for it, half of what is left of the budget at most."""
        known = self._known.get(service)
        if known is None or known.connection != self._transport.connections.count:
            await self._fetch(service, budget)
        return self._known.get(service) or Schema(-1, {}, "it was not told in time")

    async def renewed(self, service: str, budget: Budget) -> Schema:
        """The schema of a backend, fetched again unless that was of no use a short while ago."""
        now = asyncio.get_running_loop().time()
        due, pause = self._pauses.get(service, (0.0, _FIRST_PAUSE))
        before = self._known.get(service)
        if now >= due:
            await self._fetch(service, budget)
            after = self._known.get(service)
            useless = before is not None and after is not None and after.says_the_same(before)
            pause = min(2 * pause, _LONGEST_PAUSE) if useless else _FIRST_PAUSE
            self._pauses[service] = (now + pause, pause)
        return self._known.get(service) or Schema(-1, {}, "it was not told in time")

    async def _fetch(self, service: str, budget: Budget) -> None:
        task = self._fetching.get(service)
        if task is None:
            self._transport.check()
            task = self._transport.spawn(self._ask(service), f"virtufin-schema {service}")
            self._fetching[service] = task
            task.add_done_callback(lambda _: self._fetching.pop(service, None))
        await asyncio.wait((task,), timeout=budget.at_most(2 * self._reflector.timeout, 0.5))

    async def _ask(self, service: str) -> None:
        connection = self._transport.connections.count
        try:
            methods, reason = await self._methods(service), ""
        except Exception as error:  # noqa: BLE001 - whatever it tells, calls go on
            methods, reason = {}, self._transport.secrets.redact(str(error) or repr(error))
            logger.debug("the types of %s are not known: %s", service, reason)
        fetched = Schema(connection, methods, reason)
        known = self._known.get(service)
        if known is not None and (known.says_the_same(fetched) or not methods):
            known.connection = connection
        else:
            self._known[service] = fetched

    async def _methods(self, service: str) -> dict[str, MethodDescriptor]:
        """All methods of a backend; those that its alias leaves open by what the gateway lists."""
        try:
            found = _by_name(await self._reflector.files(service))
        except SymbolNotFoundError:
            found = {}
        if len({_owner(one) for methods in found.values() for one in methods}) == 1:
            return {name: methods[0] for name, methods in found.items()}
        owners = await self._owners(service)
        chosen: dict[str, MethodDescriptor] = {}
        others: dict[str, dict[str, list[MethodDescriptor]]] = {}
        for name, owner in owners.items():
            candidates = [one for one in found.get(name, ()) if _owner(one) == owner]
            if not candidates:
                if owner not in others:
                    others[owner] = _by_name(await self._reflector.files(owner))
                candidates = [one for one in others[owner].get(name, ()) if _owner(one) == owner]
            chosen.update((name, one) for one in candidates)
        return chosen

    async def _owners(self, service: str) -> dict[str, str]:
        """The gRPC service of each method, as the gateway lists them."""
        call = self._wire["Gateway.ListMethods"]
        request = call.request(service=service)
        try:
            reply = await self._transport.unary(
                call, request, timeout=self._reflector.timeout, service=service
            )
        except VirtufinError as error:
            raise ReflectionError(f"its methods are not listed: {error.message}") from error
        return {
            method.name: method.full_name.replace("/", ".").strip(".").rpartition(".")[0]
            for method in reply.methods
        }


def _by_name(files: Iterable[FileDescriptorProto]) -> dict[str, list[MethodDescriptor]]:
    """The methods of all services in these files, in a descriptor pool of their own."""
    files = list(files)
    pool: Any = build_pool(files)
    found: dict[str, list[MethodDescriptor]] = {}
    for file in files:
        for service in pool.FindFileByName(file.name).services_by_name.values():
            if not service.full_name.startswith(_INFRASTRUCTURE):
                for method in service.methods:
                    found.setdefault(method.name, []).append(method)
    return found


def _owner(method: MethodDescriptor) -> str:
    return str(method.containing_service.full_name)


def _shape(method: MethodDescriptor) -> tuple[Any, ...]:
    """All that says what a method takes and answers, to be compared."""
    files: dict[str, bytes] = {}
    stack = [method.input_type.file, method.output_type.file]
    while stack:
        file = stack.pop()
        if file.name not in files:
            files[file.name] = file.serialized_pb
            stack.extend(file.dependencies)
    names = (method.input_type.full_name, method.output_type.full_name)
    return (method.full_name, *names, tuple(sorted(files.items())))
