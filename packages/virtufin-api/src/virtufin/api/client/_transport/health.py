"""Health checks of the gateway, once or until the gateway serves."""

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

# Seconds for one check, because a check that is never answered must not use up the timeout.
_ONE_TRY = 5.0
# `Empty` for both messages, because the health protos would be a further dependency. The status is
# read as an unknown field.
_CHECK = Method("grpc.health.v1.Health", "Check", Empty, Empty)
# Field `status` of HealthCheckResponse in grpc.health.v1.
_STATUS_FIELD = 1
_NOT_SERVING = 2


class Health(Enum):
    """The answer of the gateway's health service."""

    SERVING = True
    NOT_SERVING = False


async def check_health(transport: Transport, budget: Budget) -> Health:
    """Calls the gateway's health service once.

    Raises:
        VirtufinError: The health service did not answer within the budget, or returned an error.
    """
    health = await transport.call(_CHECK, Empty(), budget)
    return Health.SERVING if _is_serving(health) else Health.NOT_SERVING


async def wait_for_gateway(transport: Transport, timeout: Timeout) -> None:
    """Calls the gateway's health service until the gateway serves.

    A gateway without a health service (UNIMPLEMENTED) counts as serving.

    Args:
        transport: The connection to the gateway.
        timeout: Seconds for all attempts together. If not given, the client's default; None means
            no limit.

    Raises:
        UnavailableError: The gateway was not reachable or not serving within the timeout. The error
            reports the last failure.
        DeadlineExceededError: No check got an answer within the timeout.
        VirtufinError: The gateway answered with an error that waiting will not change.
    """
    budget = transport.budget(timeout)
    # Short waits, because a gateway that is just starting must be found soon.
    waits = delays(0.05, 1.0, 2.0, 0.5)
    last: VirtufinError | None = None
    while last is None or budget.left() != 0.0:
        try:
            if await check_health(transport, budget.part(_ONE_TRY)) is Health.SERVING:
                return
            last = from_status(
                grpc.StatusCode.UNAVAILABLE,
                "the gateway answers that it is not serving",
                peer=transport.peer,
                method=_CHECK.full_name,
            )
        except UnsupportedError:
            # Success, because a gateway that reports UNIMPLEMENTED has answered.
            return
        except UnavailableError as error:
            last = error
        except DeadlineExceededError as error:
            # Not over an earlier failure, because that names the reason better than a timeout.
            last = last or error
        await asyncio.sleep(budget.at_most(next(waits)))
    raise last


def _is_serving(health: Empty) -> bool:
    fields = UnknownFieldSet(health)
    said = [(fields[index].field_number, fields[index].data) for index in range(len(fields))]
    return (_STATUS_FIELD, _NOT_SERVING) not in said
