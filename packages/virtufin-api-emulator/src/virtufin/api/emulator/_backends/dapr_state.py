"""State in a state store component of the Dapr sidecar.

The key of a value is stored as `service:key`, after any prefix that the component adds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc
from dapr.proto import api_v1, common_v1

from virtufin.api.emulator._status_errors import StatusError

from .backend import Entry
from .dapr_connection import SidecarConnection

_PARALLELISM = 10
"""Number of keys of one bulk read that the sidecar reads concurrently."""
# Several calls, because one call for thousands of keys may take longer than its timeout.
_AT_ONCE = 500
"""Largest number of keys that one call of a reset deletes."""
# Dapr reports an etag that is malformed for the store as INVALID_ARGUMENT, not as ABORTED.
_ETAG_REFUSED = (grpc.StatusCode.ABORTED, grpc.StatusCode.INVALID_ARGUMENT)
# First write wins, because the etag says which value the client has seen.
_FIRST_WRITE = common_v1.StateOptions(concurrency=common_v1.StateOptions.CONCURRENCY_FIRST_WRITE)


class DaprState:
    """The operations on state of a store on a Dapr sidecar.

    Args:
        connection: Connection to the sidecar.
        store_name: Name of the state store component.
    """

    def __init__(self, connection: SidecarConnection, store_name: str) -> None:
        self._connection = connection
        self._store = store_name
        self._written: dict[tuple[str, str], None] = {}

    async def reset(self) -> None:
        """Deletes the keys that were written by this object and not deleted since."""
        # Only those, because the keys of a store cannot be listed.
        by_service: dict[str, list[str]] = {}
        for service, key in self._written:
            by_service.setdefault(service, []).append(key)
        for service, keys in by_service.items():
            for first in range(0, len(keys), _AT_ONCE):
                await self.delete(service, keys[first : first + _AT_ONCE])

    async def save(self, service: str, key: str, value: str, etag: str) -> None:
        """Writes a value, as `Backend.save` describes."""
        item = common_v1.StateItem(key=_make_key(service, key), value=value.encode())
        if etag:
            item.etag.value = etag
            item.options.CopyFrom(_FIRST_WRITE)
        # Recorded before the call, because a call that fails may still have written the value.
        self._written[service, key] = None
        request = api_v1.SaveStateRequest(store_name=self._store, states=[item])
        try:
            await self._connection.call("SaveState", request)
        except StatusError as error:
            if etag and error.code in _ETAG_REFUSED:
                await self._explain(service, key, etag, error)
            raise

    async def get(self, service: str, keys: Iterable[str]) -> list[Entry]:
        """Returns entries, as `Backend.get` describes."""
        wanted = list(keys)
        if not wanted:
            return []
        if len(wanted) == 1:
            return [await self._get(service, wanted[0])]
        request = api_v1.GetBulkStateRequest(
            store_name=self._store,
            keys=[_make_key(service, key) for key in dict.fromkeys(wanted)],
            parallelism=_PARALLELISM,
        )
        reply = await self._connection.call("GetBulkState", request)
        found = {}
        for item in reply.items:
            _require_no_error(item.key, item.error)
            key = item.key.removeprefix(_make_key(service, ""))
            found[key] = _to_entry(key, item)
        return [found.get(key) or Entry(key, "", "") for key in wanted]

    async def delete(self, service: str, keys: Iterable[str]) -> list[str]:
        """Deletes keys, as `Backend.delete` describes."""
        wanted = list(dict.fromkeys(keys))
        if len(wanted) == 1:
            await self._delete(service, wanted[0])
        elif wanted:
            states = [common_v1.StateItem(key=_make_key(service, key)) for key in wanted]
            request = api_v1.DeleteBulkStateRequest(store_name=self._store, states=states)
            await self._connection.call("DeleteBulkState", request)
        for key in wanted:
            self._written.pop((service, key), None)
        return []

    async def query(self, service: str, query: str, limit: int) -> list[Entry]:
        """Returns entries that match a query, as `Backend.query` describes.

        Raises:
            StatusError: The store has no query API.
        """
        # Filtered here, because a query of Dapr covers the keys of all services.
        prefix = _make_key(service, "")
        found: list[Entry] = []
        request = api_v1.QueryStateRequest(store_name=self._store, query=query)
        reply = await self._connection.call("QueryStateAlpha1", request)
        for item in reply.results:
            _require_no_error(item.key, item.error)
            if item.key.startswith(prefix):
                found.append(_to_entry(item.key.removeprefix(prefix), item))
        return found[:limit] if limit else found

    async def _get(self, service: str, key: str) -> Entry:
        request = api_v1.GetStateRequest(store_name=self._store, key=_make_key(service, key))
        reply = await self._connection.call("GetState", request)
        return _to_entry(key, reply)

    async def _delete(self, service: str, key: str) -> None:
        request = api_v1.DeleteStateRequest(store_name=self._store, key=_make_key(service, key))
        await self._connection.call("DeleteState", request)

    async def _explain(self, service: str, key: str, etag: str, error: StatusError) -> None:
        """Raises an error that names the current etag; returns if the etag is not the cause."""
        current = await self._get(service, key)
        if error.code is grpc.StatusCode.INVALID_ARGUMENT and current.etag == etag:
            return
        held = f"has etag {current.etag!r}" if current.etag else "does not exist"
        raise StatusError(
            grpc.StatusCode.ABORTED,
            f"etag mismatch: {service}/{key} {held}, not {etag!r}; first write wins",
        ) from error


def _make_key(service: str, key: str) -> str:
    return f"{service}:{key}"


def _to_entry(key: str, item: Any) -> Entry:
    return Entry(key, item.data.decode(errors="replace"), item.etag)


def _require_no_error(key: str, error: Any) -> None:
    if error:
        raise StatusError(grpc.StatusCode.INTERNAL, f"the state store, for {key}: {error}")
