"""Whether this client can work with a gateway, and what stands in the way.

`await client.diagnose()` in code; `python -m virtufin.api.client.doctor HOST:PORT` in a shell.

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
    """Makes a client, lets it look at its gateway, and closes it.

    Args:
        *address: Host and port, as `ApiClient` takes them.
        timeout: Seconds that each check may take.
        publish: Whether to publish an event and see it come back.
        topic: Where; default `virtufin.doctor`.
        **settings: Further settings of `ApiClient`.

    Raises:
        InvalidInputError: A setting cannot be used.
    """
    async with ApiClient(*address, **settings) as client:
        return await client.diagnose(timeout=timeout, publish=publish, topic=topic)
