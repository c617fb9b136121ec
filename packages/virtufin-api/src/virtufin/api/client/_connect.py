"""Waiting until the gateway answers."""

from __future__ import annotations

import asyncio

from google.protobuf.empty_pb2 import Empty

from virtufin.api.client._backoff import delays
from virtufin.api.client._method import Method
from virtufin.api.client._sentinel import NotGiven
from virtufin.api.client._transport import Transport
from virtufin.api.client.errors import (
    DeadlineExceededError,
    UnavailableError,
    UnsupportedError,
)

_ONE_TRY = 5.0


async def wait_for_gateway(transport: Transport, timeout: float | NotGiven | None) -> None:
    """Asks the gateway's health service until it answers.

    Raises:
        UnavailableError: It did not within the timeout; the last failure is told.
        VirtufinError: It answered with an error that waiting will not change.
    """
    budget = transport.budget(timeout)
    check = Method("grpc.health.v1.Health", "Check", Empty, Empty)
    waits = delays(0.05, 1.0, 2.0, 0.5)
    while True:
        try:
            await transport.unary(check, Empty(), timeout=budget.at_most(_ONE_TRY))
            return
        except UnsupportedError:
            return
        except (UnavailableError, DeadlineExceededError):
            wait = next(waits)
            left = budget.left()
            if left is not None and left <= wait:
                raise
            await asyncio.sleep(wait)
