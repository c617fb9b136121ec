"""Waiting until the gateway answers."""

from __future__ import annotations

import asyncio
from enum import Enum

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.unknown_fields import UnknownFieldSet

from virtufin.api.client._backoff import delays
from virtufin.api.client._deadlines import Budget
from virtufin.api.client._error_mapping import from_status
from virtufin.api.client._types import Timeout
from virtufin.api.client.errors import (
    DeadlineExceededError,
    UnavailableError,
    UnsupportedError,
    VirtufinError,
)

from .method import Method
from .transport import Transport

_ONE_TRY = 5.0
_CHECK = Method("grpc.health.v1.Health", "Check", Empty, Empty)
# HealthCheckResponse of grpc.health.v1: field 1, `status`.
_STATUS_FIELD = 1
_NOT_SERVING = 2


class Health(Enum):
    """What the gateway's health service says."""

    SERVING = True
    NOT_SERVING = False


async def ask_health(transport: Transport, budget: Budget) -> Health:
    """Asks the gateway's health service once.

    Raises:
        VirtufinError: It did not answer, or with an error.
    """
    health = await transport.call(_CHECK, Empty(), budget)
    return Health.SERVING if _is_serving(health) else Health.NOT_SERVING


async def wait_for_gateway(transport: Transport, timeout: Timeout) -> None:
    """Asks the gateway's health service until it answers.

    Raises:
        UnavailableError: It did not, or not as serving, within the timeout; the last failure is
            told.
        DeadlineExceededError: Something is there, and did not answer at all.
        VirtufinError: It answered with an error that waiting will not change.
    """
    budget = transport.budget(timeout)
    waits = delays(0.05, 1.0, 2.0, 0.5)
    last: VirtufinError | None = None
    while last is None or budget.left() != 0.0:
        try:
            if await ask_health(transport, budget.part(_ONE_TRY)) is Health.SERVING:
                return
            last = from_status(
                grpc.StatusCode.UNAVAILABLE,
                "the gateway answers that it is not serving",
                peer=transport.peer,
                method=_CHECK.full_name,
            )
        except UnsupportedError:
            return
        except UnavailableError as error:
            last = error
        except DeadlineExceededError as error:
            last = last or error
        await asyncio.sleep(budget.at_most(next(waits)))
    raise last


def _is_serving(health: Empty) -> bool:
    fields = UnknownFieldSet(health)
    said = [(fields[index].field_number, fields[index].data) for index in range(len(fields))]
    return (_STATUS_FIELD, _NOT_SERVING) not in said
