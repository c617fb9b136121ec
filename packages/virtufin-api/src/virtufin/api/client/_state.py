"""Key-value state of services, with etags."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from virtufin.api.client._asyncio import call_user
from virtufin.api.client._backoff import delays
from virtufin.api.client._deadlines import Budget
from virtufin.api.client._error_mapping import as_kind, expired
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
from virtufin.api.client.results import (
    AllStateResult,
    DeleteBulkResult,
    StateResult,
    StatusResult,
)

Change = Callable[["str | None"], "str | Awaitable[str | None] | None"]


class StateClient:
    """Saves and reads the state of services. Values are text; JSON is yours to make.

    Every method exists with and without the suffix `_async`.

    Example:
        >>> async def count(client):
        ...     return await client.state.update(
        ...         "workmanager", "counter", lambda value: str(int(value or 0) + 1)
        ...     )
    """

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
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
            service: The service the key belongs to.
            key: The key; must not contain `||`.
            value: The text to store.
            etag: With the etag of a `get`, written only if nobody wrote since; None or empty
                overwrites whatever is there.
            include_value: Whether the change event carries the value.
            publish_change: Whether to publish an event on topic `state.change`.
            timeout: Seconds for the call; not given means the client's default, None no deadline.

        Raises:
            ConflictError: The etag is not the current one; `service`, `key` and `etag` are set.
            InvalidInputError: Key or value cannot be sent.
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
            raise as_kind(error, ConflictError, etag=etag) from None

    async def get(self, service: str, key: str, *, timeout: Timeout = NOT_GIVEN) -> StateResult:
        """Reads a key; `found` is False where it is missing.

        Raises:
            InvalidRequestError: The gateway does not know the service.
        """
        return await self._get(
            require_name(service, "service"), _key(key), self._rpc.budget(timeout)
        )

    async def _get(self, service: str, key: str, budget: Budget) -> StateResult:
        fields = {"service": service, "key": key}
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
        """Deletes a key; a missing one is no error."""
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
        """Finds keys by their values, where the state store can.

        Args:
            service: The service whose state is searched.
            query: A Dapr state query, as text or dict; `{}` matches all.
            limit: Most items to return; 0 means no limit.
            timeout: Seconds for the call; not given means the client's default, None no deadline.

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
        """Reads several keys; the results come in the order asked, each with `found`."""
        return await self._get_bulk(service, _keys(keys), self._rpc.budget(timeout))

    async def _get_bulk(
        self, service: str, keys: tuple[str, ...], budget: Budget
    ) -> list[StateResult]:
        if not keys:
            return []
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
        """Deletes several keys; `failed_keys` names those that are still there."""
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
        """Reads a key, applies a function and saves under the etag; starts over on a conflict.

        A missing key has no etag to hold, so of two callers that create it at once one loses its
        change.

        Args:
            service: The service the key belongs to.
            key: The key.
            function: Gets the value (None where the key is missing) and returns the new one, or
                None to leave it as it is. May be a coroutine function. It may run several times.
            attempts: How often to try in all before the conflict is raised.
            timeout: Seconds for all of it; not given means the client's default, None no limit.

        Returns:
            The value that stands afterwards, as far as this caller knows.

        Raises:
            ConflictError: Others wrote in between at every attempt.
            DeadlineExceededError: The time was up first.
        """
        require_whole("attempts", attempts, 1)
        if not callable(function):
            raise InvalidInputError(f"function must be a function, not {short_repr(function)}")
        context = {"service": require_name(service, "service"), "key": _key(key)}
        budget = self._rpc.budget(timeout)
        waits = delays(0.01, 1.0, 2.0, 0.5)
        attempt = 0
        while True:
            attempt += 1
            current = await self._get(service, key, budget)
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
                if budget.left() == 0.0:
                    raise expired(budget, **context) from conflict

    async def register_keys(
        self, service: str, keys: str | Iterable[str], *, timeout: Timeout = NOT_GIVEN
    ) -> StatusResult:
        """Names the keys that `get_all_state` returns.

        Gateways of today have no such call; then the client itself remembers them.
        """
        wanted = _keys(keys)
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
        """Reads all registered keys of a service; missing ones are left out.

        Where the gateway has no such call, these are the keys registered through this client.
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
        "found": bool(item.etag or item.value),
    }


def _query(query: object) -> str:
    if isinstance(query, Mapping):
        return to_json(dict(query), "query")
    if not isinstance(query, str):
        raise InvalidInputError(f"query must be a dict or JSON text, not {short_repr(query)}")
    try:
        json.loads(query)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"query is not JSON: {error}") from None
    return require_text(query, "query")
