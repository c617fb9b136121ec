"""The headers of calls, among them the API key.

If the user gave a function for the API key, the function is called for each call. API keys and
secret headers are replaced by `***` in error messages.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from typing import Any

from virtufin.api.client._deadlines import Budget
from virtufin.api.client._error_mapping import expired
from virtufin.api.client._types import ApiKey, Metadata
from virtufin.api.client._validation import require_api_key
from virtufin.api.client.errors import (
    ApiKeyError,
    ClientClosedError,
    DeadlineExceededError,
    InvalidInputError,
)

_REDACTED = "***"
# Parts of metadata names, because a client cannot know which of the user's headers are secret.
_SENSITIVE = ("auth", "cookie", "credential", "key", "password", "secret", "session", "token")
# Several keys, because keys rotate and an error may contain one of the last few.
_REMEMBERED = 8


class Credentials:
    """The headers of a client's calls, and the secrets to remove from its error messages."""

    def __init__(
        self,
        api_key: ApiKey | None,
        metadata: Metadata = (),
        header: str = "",
    ) -> None:
        """Does no I/O.

        Args:
            api_key: The API key, or a function (plain or async) that returns the current API key.
            metadata: Further headers of every call.
            header: Name of the header for the API key.
        """
        self._source = api_key
        self._metadata = metadata
        self._header = header
        self.fixed: Metadata | None = None
        """The headers of every call, with the API key; None if a function provides the API key."""
        self._seen: deque[str] = deque(maxlen=_REMEMBERED)
        self._pending: set[asyncio.Future[Any]] = set()
        self._ended = False
        if api_key is None:
            self.fixed = metadata
        elif isinstance(api_key, str):
            self.fixed = (*metadata, (header, api_key))
            self._seen.append(api_key)
        self._in_metadata: list[str | bytes] = []
        for name, value in metadata:
            if any(word in name for word in _SENSITIVE):
                # The last word too, because of "Bearer <token>" a server may echo only the token.
                last = value.split()[-1:]
                self._in_metadata += [value, *last]

    @property
    def has_key(self) -> bool:
        """Returns whether calls carry an API key."""
        return self._source is not None

    @property
    def rotates(self) -> bool:
        """Returns True if a function of the user provides the API key for each call."""
        return callable(self._source)

    async def headers(self, budget: Budget, context: dict[str, Any]) -> Metadata:
        """Returns the headers to send now; calls the `api_key` function if there is one.

        Args:
            budget: The time that is left of the call's timeout; limits the wait for the function.
            context: Attributes to set on a raised error.

        Raises:
            ApiKeyError: The function failed.
            ClientClosedError: The client was closed while the function ran.
            DeadlineExceededError: The budget ended before the function returned.
            InvalidInputError: The function returned a value that cannot be an API key.
        """
        if self.fixed is not None:
            return self.fixed
        key = await self._call_source(budget, context)
        if key not in self._seen:
            self._seen.append(key)
        return (*self._metadata, (self._header, key))

    async def _call_source(self, budget: Budget, context: dict[str, Any]) -> str:
        try:
            answer: object = self._source()  # type: ignore[operator, misc]
            if inspect.isawaitable(answer):
                answer = await self._await_within(asyncio.ensure_future(answer), budget, context)
            return require_api_key(answer)
        except (ClientClosedError, DeadlineExceededError, InvalidInputError):
            raise
        except Exception as error:
            raise ApiKeyError(f"the api_key function failed: {error!r}", **context) from error

    def end(self) -> None:
        """Ends all waits for an API key with ClientClosedError, because the client is closing."""
        self._ended = True
        for answer in self._pending:
            answer.cancel()

    async def _await_within(
        self, answer: asyncio.Future[Any], budget: Budget, context: dict[str, Any]
    ) -> Any:
        """Awaits the result of the user's function within the budget.

        Raises:
            ClientClosedError: The client was closed during the wait.
            DeadlineExceededError: The budget ended first.
            Exception: The function raised this error.
        """
        self._pending.add(answer)
        try:
            # Not `wait_for`, because a TimeoutError of the function must not look like the end of
            # the budget.
            done, _ = await asyncio.wait((answer,), timeout=budget.left())
        except asyncio.CancelledError:
            answer.cancel()
            raise
        finally:
            self._pending.discard(answer)
        if self._ended:
            raise ClientClosedError("the client was closed during the call", **context)
        if not done:
            answer.cancel()
            raise expired(budget, **context)
        return answer.result()

    def redact(self, text: str) -> str:
        """Returns the text with every secret replaced by `***`."""
        for secret in (*self._seen, *self._in_metadata):
            if isinstance(secret, str) and secret:
                text = text.replace(secret, _REDACTED)
        return text

    def redact_value(self, value: str | bytes) -> str | bytes:
        """Returns a metadata value with every secret replaced by `***`."""
        if isinstance(value, str):
            return self.redact(value)
        for secret in (*self._seen, *self._in_metadata):
            raw = secret.encode() if isinstance(secret, str) else secret
            if raw:
                value = value.replace(raw, _REDACTED.encode())
        return value
