"""The client for the key-value state of services, with etags."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from virtufin.api.client._asyncio import call_user
from virtufin.api.client._backoff import delays
from virtufin.api.client._deadlines import Budget
from virtufin.api.client._error_mapping import expired, narrow
from virtufin.api.client._json import to_json
from virtufin.api.client._transport import success
from virtufin.api.client._types import NOT_GIVEN, Timeout
from virtufin.api.client._validation import (
    require_bool,
    require_name,
    require_names,
    require_text,
    require_whole,
    short_repr,
)
from virtufin.api.client._wire import Rpc
from virtufin.api.client.errors import (
    AbortedError,
    ConflictError,
    InvalidInputError,
    UnsupportedError,
)
from virtufin.api.client.results import AllStateResult, DeleteBulkResult, StateResult, StatusResult

Change = Callable[["str | None"], "str | Awaitable[str | None] | None"]


class StateClient:
    """Saves and reads the state of services.

    Values are text, so callers convert other data themselves, for example with `json.dumps()`.
    Every method exists with and without the suffix `_async`.

    Example:
        >>> async def count(client):
        ...     return await client.state.update(
        ...         "workmanager", "counter", lambda value: str(int(value or 0) + 1)
        ...     )
    """

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        # Registered keys by service, because current gateways have no call to register them. The
        # inner dict serves as a set that keeps the order of registration.
        self._registered: dict[str, dict[str, None]] = {}

    async def save(
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
        """Writes a key.

        Args:
            service: The service that owns the key.
            key: The key; must not contain `||`.
            value: The text to store.
            etag: Etag from a `get`. The gateway then writes only if the key has not changed since
                that `get`. None or empty overwrites any value.
            include_value: True puts the value into the event of `publish_change`.
            publish_change: True publishes an event on topic `state.change`.
            timeout: Seconds for the call. If omitted, the client's default; None means no deadline.

        Raises:
            ConflictError: The key has another etag by now; `service`, `key` and `etag` are set.
            InvalidInputError: The key or the value cannot be sent.
            InvalidRequestError: The gateway does not know the service.
        """
        fields = {
            "service": require_name(service, "service"),
            "key": _key(key),
            "value": _value(value),
            "etag": "" if etag is None else require_text(etag, "etag"),
            "include_value": require_bool(include_value, "include_value"),
            "publish_change": require_bool(publish_change, "publish_change"),
        }
        return await self._save(fields, self._rpc.budget(timeout))

    async def _save(self, fields: dict[str, Any], budget: Budget) -> StatusResult:
        call, etag = "State.SaveState", fields["etag"] or None
        context = {"service": fields["service"], "key": fields["key"]}
        try:
            reply = await self._rpc.unary(call, fields, budget, **context)
            return self._rpc.check_status(call, reply, **context, etag=etag)
        except ConflictError:
            raise
        except AbortedError as error:
            if not etag:
                raise
            # ABORTED means a conflict if an etag was sent, because gRPC has no status code of its
            # own for conflicts.
            raise narrow(error, ConflictError, etag=etag) from None

    async def get(self, service: str, key: str, *, timeout: Timeout = NOT_GIVEN) -> StateResult:
        """Reads a key.

        Args:
            service: The service that owns the key.
            key: The key.
            timeout: Seconds for the call. If omitted, the client's default; None means no deadline.

        Returns:
            The value and its etag; `found` is False if the key is missing.

        Raises:
            InvalidRequestError: The gateway does not know the service.
        """
        fields = {"service": require_name(service, "service"), "key": _key(key)}
        budget = self._rpc.budget(timeout)
        reply = await self._rpc.unary("State.GetState", fields, budget, **fields)
        return {"key": key, "value": reply.value, "etag": reply.etag, "found": bool(reply.etag)}

    async def delete(
        self,
        service: str,
        key: str,
        *,
        include_value: bool = False,
        publish_change: bool = False,
        timeout: Timeout = NOT_GIVEN,
    ) -> StatusResult:
        """Deletes a key; deleting a missing key is no error.

        Args:
            service: The service that owns the key.
            key: The key.
            include_value: True puts the value into the event of `publish_change`.
            publish_change: True publishes an event on topic `state.change`.
            timeout: Seconds for the call. If omitted, the client's default; None means no deadline.
        """
        context = {"service": require_name(service, "service"), "key": _key(key)}
        fields = {
            **context,
            "include_value": require_bool(include_value, "include_value"),
            "publish_change": require_bool(publish_change, "publish_change"),
        }
        budget = self._rpc.budget(timeout)
        return await self._rpc.accept("State.DeleteState", fields, budget, **context)

    async def query(
        self,
        service: str,
        query: str | Mapping[str, Any] = "{}",
        *,
        limit: int = 0,
        timeout: Timeout = NOT_GIVEN,
    ) -> list[StateResult]:
        """Returns the items whose values match a query, if the state store supports queries.

        Args:
            service: The service whose state is searched.
            query: A Dapr state query, as text or dict; `{}` matches all keys.
            limit: Maximum number of items to return; 0 means no limit.
            timeout: Seconds for the call. If omitted, the client's default; None means no deadline.

        Raises:
            InternalError: The state store has no query API.
        """
        require_whole("limit", limit, 0)
        fields = {
            "service": require_name(service, "service"),
            "query": _query(query),
            "limit": limit,
        }
        budget = self._rpc.budget(timeout)
        reply = await self._rpc.unary("State.QueryState", fields, budget, service=service)
        return [_item(item) for item in reply.items]

    async def get_bulk(
        self, service: str, keys: str | Iterable[str], *, timeout: Timeout = NOT_GIVEN
    ) -> list[StateResult]:
        """Reads several keys.

        Args:
            service: The service that owns the keys.
            keys: The keys.
            timeout: Seconds for the call. If omitted, the client's default; None means no deadline.

        Returns:
            A result for each requested key, in the order of `keys`; `found` is False if the key is
            missing.
        """
        return await self._get_bulk(service, _keys(keys), self._rpc.budget(timeout))

    async def _get_bulk(
        self, service: str, keys: tuple[str, ...], budget: Budget
    ) -> list[StateResult]:
        # Nothing is sent without keys, because the answer is known.
        if not keys:
            return []
        # Each key is sent once, because the result is built from `keys` and repeats the answer.
        fields = {"service": require_name(service, "service"), "keys": dict.fromkeys(keys)}
        reply = await self._rpc.unary("State.GetBulkState", fields, budget, service=service)
        items = {item.key: _item(item) for item in reply.items}
        missing: StateResult = {"key": "", "value": "", "etag": "", "found": False}
        return [items.get(key) or {**missing, "key": key} for key in keys]

    async def delete_bulk(
        self,
        service: str,
        keys: str | Iterable[str],
        *,
        publish_change: bool = False,
        timeout: Timeout = NOT_GIVEN,
    ) -> DeleteBulkResult:
        """Deletes several keys.

        Args:
            service: The service that owns the keys.
            keys: The keys.
            publish_change: True publishes events on topic `state.change`.
            timeout: Seconds for the call. If omitted, the client's default; None means no deadline.

        Returns:
            The status; `failed_keys` lists the keys that were not deleted.
        """
        fields = {
            "service": require_name(service, "service"),
            "keys": _keys(keys),
            "publish_change": require_bool(publish_change, "publish_change"),
        }
        call, budget = "State.DeleteBulkState", self._rpc.budget(timeout)
        reply = await self._rpc.unary(call, fields, budget, service=service)
        status = self._rpc.check_status(call, reply, service=service)
        return {**status, "failed_keys": list(reply.failed_keys)}

    async def update(
        self,
        service: str,
        key: str,
        function: Change,
        *,
        attempts: int = 10,
        timeout: Timeout = NOT_GIVEN,
    ) -> str | None:
        """Reads a key, applies a function and saves the result; starts over on a conflict.

        A missing key has no etag. If two callers create the same key at once, one change is lost.

        Args:
            service: The service that owns the key.
            key: The key.
            function: Function or coroutine function. Takes the current value (None if the key is
                missing) and returns the new value, or None to leave the key unchanged. Is called
                again for each attempt.
            attempts: Total number of attempts before the conflict is raised.
            timeout: Seconds for all attempts together. If omitted, the client's default; None
                means no limit.

        Returns:
            The saved value. If the function returned None, the value that was read.

        Raises:
            ConflictError: Another writer changed the key during every attempt.
            DeadlineExceededError: The timeout ended before an attempt succeeded.
        """
        require_whole("attempts", attempts, 1)
        if not callable(function):
            raise InvalidInputError(f"function must be a function, not {short_repr(function)}")
        context = {"service": require_name(service, "service"), "key": _key(key)}
        budget = self._rpc.budget(timeout)
        # With random jitter, because competing callers would collide again in step.
        waits = delays(0.01, 1.0, 2.0, 0.5)
        attempt = 0
        while True:
            attempt += 1
            current = await self.get(service, key, timeout=budget.left())
            value = current["value"] if current["found"] else None
            new: str | None = await call_user(function, value)
            if new is None:
                return value
            fields = {**context, "value": _value(new), "etag": current["etag"]}
            try:
                await self._save(fields, budget)
                return new
            except ConflictError as conflict:
                conflict.attempt = attempt
                if attempt >= attempts:
                    raise
                await asyncio.sleep(budget.at_most(next(waits)))
                # The conflict is the cause of the error, because it used the time up.
                if budget.left() == 0.0:
                    raise expired(budget, **context) from conflict

    async def register_keys(
        self, service: str, keys: str | Iterable[str], *, timeout: Timeout = NOT_GIVEN
    ) -> StatusResult:
        """Registers keys, so that `get_all_state` returns their values.

        Current gateways have no method for this. This client then remembers the keys itself.

        Args:
            service: The service that owns the keys.
            keys: The keys to add to those registered before.
            timeout: Seconds for the call. If omitted, the client's default; None means no deadline.
        """
        wanted = _keys(keys)
        # Kept in any case, because `get_all_state` reads these keys if the gateway lacks that call.
        self._registered.setdefault(require_name(service, "service"), {}).update(
            dict.fromkeys(wanted)
        )
        fields = {"service": service, "keys": wanted}
        budget = self._rpc.budget(timeout)
        try:
            return await self._rpc.accept("State.RegisterKeys", fields, budget, service=service)
        except UnsupportedError:
            return success("remembered by this client")

    async def get_all_state(self, service: str, *, timeout: Timeout = NOT_GIVEN) -> AllStateResult:
        """Reads the values of all registered keys of a service; leaves out keys without a value.

        If the gateway lacks this method, the client reads the keys given to `register_keys`.

        Args:
            service: The service that owns the keys.
            timeout: Seconds for the call. If omitted, the client's default; None means no deadline.
        """
        budget = self._rpc.budget(timeout)
        fields = {"service": require_name(service, "service")}
        try:
            reply = await self._rpc.unary("State.GetAllState", fields, budget, **fields)
        except UnsupportedError:
            keys = tuple(self._registered.get(service, ()))
            items = await self._get_bulk(service, keys, budget)
            return {"values": {item["key"]: item["value"] for item in items if item["found"]}}
        return {"values": dict(reply.values)}

    # Both names are public, because methods of the other clients have the suffix `_async`.
    save_async = save
    get_async = get
    delete_async = delete
    query_async = query
    get_bulk_async = get_bulk
    delete_bulk_async = delete_bulk
    update_async = update
    register_keys_async = register_keys
    get_all_state_async = get_all_state


def _key(key: object) -> str:
    text = require_name(key, "key")
    # Rejected here, because daprd rejects such keys: `||` ends the prefix that it adds to each key.
    if "||" in text:
        raise InvalidInputError(f"key {text!r} contains '||', which Dapr keeps for itself")
    return text


def _value(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidInputError(
            f"value must be text, not {type(value).__name__}; use json.dumps() for data"
        )
    return require_text(value, "value")


def _keys(keys: str | Iterable[str]) -> tuple[str, ...]:
    return tuple(_key(key) for key in require_names(keys, "keys"))


def _item(item: Any) -> StateResult:
    return {
        "key": item.key,
        "value": item.value,
        "etag": item.etag,
        # Also found by the value alone, because some state stores have no etags.
        "found": bool(item.etag or item.value),
    }


def _query(query: object) -> str:
    if isinstance(query, Mapping):
        return to_json(dict(query), "query")
    if not isinstance(query, str):
        raise InvalidInputError(f"query must be a dict or JSON text, not {short_repr(query)}")
    try:
        # Parsed only as a check, because the gateway must get the text as the caller wrote it.
        json.loads(query)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"query is not JSON: {error}") from None
    return require_text(query, "query")
