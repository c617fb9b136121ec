"""The service virtufin.State: values by service and key."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from virtufin.api.client._wire import Wire
from virtufin.api.emulator._backends import Backend, Entry
from virtufin.api.emulator._status_errors import InvalidArgumentError

from .event_layouts import make_json_event

CHANGE_TOPIC = "state.change"
# Newer gateways lack these two methods.
LEGACY_METHODS = ("State.RegisterKeys", "State.GetAllState")


class StateServicer:
    """The methods of the service that current gateways have.

    Args:
        wire: Message layout of requests and replies.
        backend: Store of the state.
        knows: Function that returns True if state may belong to a service, given its name.
    """

    def __init__(self, wire: Wire, backend: Backend, knows: Callable[[str], bool]) -> None:
        self._wire = wire
        self._backend = backend
        self._knows = knows

    async def save_state(self, request: Any, context: Any) -> Any:
        self._admit(request.service, [request.key])
        await self._backend.save(request.service, request.key, request.value, request.etag)
        if request.publish_change:
            value = {"value": request.value} if request.include_value else {}
            await self._announce(request.service, "save", {"key": request.key, **value})
        return self._respond("SaveState")

    async def get_state(self, request: Any, context: Any) -> Any:
        self._admit(request.service, [request.key])
        (entry,) = await self._backend.get(request.service, [request.key])
        return self._wire["State.GetState"].response(**_to_item(entry))

    async def delete_state(self, request: Any, context: Any) -> Any:
        self._admit(request.service, [request.key])
        value = {}
        if request.publish_change and request.include_value:
            # Read before the deletion, because the event contains the deleted value.
            (entry,) = await self._backend.get(request.service, [request.key])
            value = {"value": entry.value}
        await self._backend.delete(request.service, [request.key])
        if request.publish_change:
            await self._announce(request.service, "delete", {"key": request.key, **value})
        return self._respond("DeleteState")

    async def query_state(self, request: Any, context: Any) -> Any:
        self._admit(request.service)
        if request.limit < 0:
            raise InvalidArgumentError(f"limit must be 0 or more, got {request.limit}")
        found = await self._backend.query(request.service, request.query, request.limit)
        return self._wire["State.QueryState"].response(items=[_to_item(entry) for entry in found])

    async def get_bulk_state(self, request: Any, context: Any) -> Any:
        self._admit(request.service, request.keys)
        entries = await self._backend.get(request.service, request.keys)
        return self._wire["State.GetBulkState"].response(
            items=[_to_item(entry) for entry in entries]
        )

    async def delete_bulk_state(self, request: Any, context: Any) -> Any:
        self._admit(request.service, request.keys)
        failed = await self._backend.delete(request.service, request.keys)
        deleted = [key for key in request.keys if key not in failed]
        if request.publish_change:
            await self._announce(request.service, "delete", {"keys": deleted})
        return self._respond("DeleteBulkState", failed_keys=failed)

    def _admit(self, service: str, keys: Iterable[str] = ()) -> None:
        if not service:
            raise InvalidArgumentError("service must not be empty")
        if not self._knows(service):
            raise InvalidArgumentError(f"unknown service {service!r}")
        for key in keys:
            if not key:
                raise InvalidArgumentError("key must not be empty")
            # Dapr rejects such keys, so the gateway rejects them with any backend.
            if "||" in key:
                raise InvalidArgumentError(f"key {key!r} must not contain '||'")

    async def _announce(self, service: str, action: str, data: dict[str, Any]) -> None:
        event = make_json_event(
            source="api",
            kind="state.change",
            subject=f"state/{service}",
            data={"service": service, "action": action, **data},
        )
        await self._backend.publish(CHANGE_TOPIC, event)

    def _respond(self, method: str, **fields: Any) -> Any:
        status = {"success": True, "status": "OK"}
        return self._wire[f"State.{method}"].response(status=status, **fields)


class LegacyStateServicer(StateServicer):
    """The methods of the service that earlier gateways have: also RegisterKeys and GetAllState.

    GetAllState returns the values of the keys that calls have named since the start of the gateway.
    """

    def __init__(self, wire: Wire, backend: Backend, knows: Callable[[str], bool]) -> None:
        super().__init__(wire, backend, knows)
        # A dict of keys, not a set, so that they keep the order of their first use.
        self._keys: dict[str, dict[str, None]] = {}

    def forget(self) -> None:
        """Forgets the keys that calls have named."""
        self._keys.clear()

    async def register_keys(self, request: Any, context: Any) -> Any:
        self._admit(request.service, request.keys)
        return self._respond("RegisterKeys")

    async def get_all_state(self, request: Any, context: Any) -> Any:
        self._admit(request.service)
        entries = await self._backend.get(request.service, self._keys.get(request.service, ()))
        return self._wire["State.GetAllState"].response(
            values={entry.key: entry.value for entry in entries if entry.etag}
        )

    def _admit(self, service: str, keys: Iterable[str] = ()) -> None:
        super()._admit(service, keys)
        self._keys.setdefault(service, {}).update(dict.fromkeys(keys))


def _to_item(entry: Entry) -> dict[str, str]:
    return {"key": entry.key, "value": entry.value, "etag": entry.etag}
