"""Diagnosis of a gateway: whether this client can work with it, and the reasons if not.

Code calls `await client.diagnose()`, or `diagnose` of this module. A shell runs
`python -m virtufin.api.client.doctor HOST:PORT`.

Example:
    >>> import asyncio
    >>> from virtufin.api.client.doctor import diagnose
    >>> async def main():
    ...     report = await diagnose("memory:")
    ...     return report.ok
    >>> asyncio.run(main())
    True
"""

from __future__ import annotations

from typing import Any

from virtufin.api.client._client import ApiClient
from virtufin.api.client.diagnosis import Check, Outcome, Report

__all__ = ["Check", "Outcome", "Report", "diagnose"]


async def diagnose(
    *address: Any,
    timeout: float = 5.0,
    publish: bool = True,
    topic: str | None = None,
    **settings: Any,
) -> Report:
    """Creates a client, checks its gateway, and closes the client.

    Args:
        *address: Host and port, as for `ApiClient`.
        timeout: Seconds that each check may take.
        publish: True publishes an event and waits until it comes back. False skips this check.
        topic: Topic of that event; default `virtufin.doctor`.
        **settings: Further settings of `ApiClient`.

    Returns:
        The report: `ok`, `checks`, `as_dict()`, and a table by `str()`.

    Raises:
        InvalidInputError: A setting has the wrong type or an unusable value.
    """
    # `async with` does not wait for the gateway, so a gateway that is away becomes a failed check
    # of the report instead of an exception.
    async with ApiClient(*address, **settings) as client:
        return await client.diagnose(timeout=timeout, publish=publish, topic=topic)
